"""The vision-language model as a stream of residuals with roles (paper 3.1)."""
