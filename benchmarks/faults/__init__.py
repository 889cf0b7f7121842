"""Faults injected into real studies at random instants, with what must hold after each: `python -m benchmarks.faults`."""
