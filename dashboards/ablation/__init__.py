"""What breaks without features (paper 5.3)."""
