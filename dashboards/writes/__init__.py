"""What the pages write: reviews, and nothing else."""
