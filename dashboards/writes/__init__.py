"""What the pages write: reviews, lists and comments, and nothing else."""
