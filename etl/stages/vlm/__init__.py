"""Samples, prompts and pictures as the model takes them (paper 3.1)."""
