"""The embedded PostgreSQL: found, started, stopped."""
