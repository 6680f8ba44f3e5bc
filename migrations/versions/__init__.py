"""Revisions, dated, oldest first."""
