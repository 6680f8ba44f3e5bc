"""The original layout of LLaVA and LLaVA-MORE, and its conversion to transformers' own."""
