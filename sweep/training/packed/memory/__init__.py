"""The memory that trials need, predicted: what fits side by side, and how many are fastest."""
