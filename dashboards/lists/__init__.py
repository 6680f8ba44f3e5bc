"""What readers keep: lists of features, and comments on them."""
