"""Every choice of a run, with its reason."""
