"""What features mean, and what people say of that (paper 5.1, B)."""
