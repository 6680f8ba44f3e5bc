"""One feature and many: what was measured (paper 4.2, 4.3)."""
