"""The stages of the pipeline, a room for each section of the paper, in their order."""
