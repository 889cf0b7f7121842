"""Real training jobs: base models, quantization, adapters and engines. The only room that imports torch and its kin."""
