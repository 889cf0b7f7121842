"""Evaluation: a model run on examples, and the loss and metrics that result."""
