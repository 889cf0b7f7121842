"""The tiny base of the training tests."""

from tests.training.conftest import encoded, examples, load_tiny

__all__ = ["encoded", "examples", "load_tiny"]
