"""One module for each kind of question; each turns records of the tables into examples, and nothing else."""
