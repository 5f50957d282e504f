"""Pre-training from scratch: tokenizer, holes, packed windows, model, optimiser, loop."""
