"""One pass over the questions, and what it says of every feature (paper 4.2, 4.3)."""
