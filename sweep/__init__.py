"""Goldilocks: finds the LoRA rank that is just right for a model, a data set and a budget."""

__version__ = "0.1.0"
