"""What features mean, and search by words (paper 5.1)."""
