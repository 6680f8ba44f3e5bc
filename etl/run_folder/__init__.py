"""What stages leave on disk: artifacts, manifest, provenance."""
