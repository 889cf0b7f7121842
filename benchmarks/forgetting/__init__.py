"""What full fine-tuning, LoRA and QLoRA gain and forget, and what replay, decay, early stopping and a lower alpha do to both."""
