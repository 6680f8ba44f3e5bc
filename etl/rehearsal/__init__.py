"""A build in small: every stage on a handful of samples, before a long one."""
