"""An atlas with planted features: what is true of each is known, and must be found."""
