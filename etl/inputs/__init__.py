"""What comes in: models, dictionaries, data sets, and their fingerprints."""
