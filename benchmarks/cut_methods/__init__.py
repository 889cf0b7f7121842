"""Ways of cutting a trained adapter to smaller ranks, compared by loss (docs/cutting.md)."""
