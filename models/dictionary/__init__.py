"""Base dictionaries, their gate check and their adaptation (paper 3.2, 4.1, A.2)."""
