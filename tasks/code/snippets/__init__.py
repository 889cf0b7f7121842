"""One module per kind of row; each makes a row with its checks."""
