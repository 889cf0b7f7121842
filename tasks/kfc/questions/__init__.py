"""One module per kind of message; each draws examples from the tables."""
