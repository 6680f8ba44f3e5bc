"""Runs beside one another, and how a run was made."""
