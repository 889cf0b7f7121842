"""Per-example scores, task metrics, and what was forgotten."""
