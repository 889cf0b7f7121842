"""Child processes that keep a base model loaded: the boundary that failures of training do not cross."""
