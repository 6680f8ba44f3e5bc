"""Heads that drive a feature, and where they look (paper 5.2)."""
