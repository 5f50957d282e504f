"""Training: corpus, tokenizer, windows, pre-training, fine-tuning, evaluation."""
