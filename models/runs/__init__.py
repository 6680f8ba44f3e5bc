"""Versions of the atlas, their measurements and differences; the published results."""
