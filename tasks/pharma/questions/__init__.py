"""One module per kind of question; each converts records of the tables to examples."""
