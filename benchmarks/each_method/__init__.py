"""Every method trained once on a real base, see `__main__`."""
