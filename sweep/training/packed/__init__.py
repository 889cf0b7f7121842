"""`engine=packed`: many LoRA trials in one forward and backward pass over one frozen base (docs/engine.md)."""
