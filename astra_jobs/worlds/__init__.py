"""Procedural worlds: seeded, typed, with an oracle (SPEC 6)."""
