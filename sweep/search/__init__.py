"""The Optuna study: search space, samplers, pruning, and the database."""
