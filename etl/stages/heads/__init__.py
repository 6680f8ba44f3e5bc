"""Which heads drive features, and where they look (paper 5.2, C)."""
