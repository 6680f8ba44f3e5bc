"""What features mean, in a sentence with its score (paper 5.1, B)."""
