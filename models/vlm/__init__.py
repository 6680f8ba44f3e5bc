"""The model under study, and the questions and pictures put to it (paper 3.1)."""
