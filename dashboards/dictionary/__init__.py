"""How dictionaries adapted, layer by layer (paper 4.1, A.2)."""
