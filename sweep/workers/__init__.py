"""Child processes that hold a warm base model; the only boundary behind which things may break."""
