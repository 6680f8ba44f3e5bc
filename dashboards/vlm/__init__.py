"""The model itself: prompts of one's own."""
