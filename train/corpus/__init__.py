"""The training corpus: manifest, sources, filters, duplicates, decontamination, split."""
