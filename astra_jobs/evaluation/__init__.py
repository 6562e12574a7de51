"""Held-out evaluation of a policy (SPEC 7)."""
