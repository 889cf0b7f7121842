"""How often a champion is wrongly replaced, by simulation: `python -m benchmarks.promotion`."""
