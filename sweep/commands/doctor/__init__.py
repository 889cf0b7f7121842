"""What this machine can run, what it lacks, and how to fix it."""
