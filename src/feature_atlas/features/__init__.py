"""Which features turned, see, and serve a skill (paper 4.2, 4.3, A.1 to A.6)."""
