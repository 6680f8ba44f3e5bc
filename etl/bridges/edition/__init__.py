"""An edition: one run as one file that opens without a server, with all that is said of it."""
