"""What the records allow to be said about ranks. Pure: no files, no training."""
