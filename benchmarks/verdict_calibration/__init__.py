"""Error rates and power of the verdict, by simulation. See docs/calibration.md."""
