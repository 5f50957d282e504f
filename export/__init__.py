"""Export: a Hugging Face checkpoint becomes a verified, quantised model folder."""
