"""Facts about every feature, and the wide row made of them (paper 4.2, 4.3)."""
