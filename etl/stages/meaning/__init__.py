"""What features mean (paper 5.1, B)."""
