"""The commands behind `python -m sweep` and its siblings."""
