"""The command line, one file for a family of commands."""
