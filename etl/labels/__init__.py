"""What people, other tools and embeddings say of features that are published; search."""
