"""New SAE runs found, built, published; and what changed by them."""
