"""Runs in which one room's stages are done for real, on what stands in for the stages before."""
