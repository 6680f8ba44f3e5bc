"""Sparse autoencoders: gates, their check, and their adaptation (paper 3.2, 4.1, A.2)."""
