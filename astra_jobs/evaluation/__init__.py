"""Measurement of models on held-out environments, before and after training (SPEC 7)."""
