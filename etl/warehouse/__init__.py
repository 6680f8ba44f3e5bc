"""From the run folder to the database: verify, stage, copy, publish; runs and migrations."""
