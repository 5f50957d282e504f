"""Honest evaluation of a shipped model or a checkpoint."""
