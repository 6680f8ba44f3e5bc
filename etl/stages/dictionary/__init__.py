"""Base dictionaries checked and adapted (paper 3.2, 4.1)."""
