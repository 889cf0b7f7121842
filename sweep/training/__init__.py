"""Training and evaluation of adapters: base models, quantization, engines. The only room that imports torch."""
