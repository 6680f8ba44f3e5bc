"""What breaks when a feature is removed, or added (paper 5.3, D)."""
