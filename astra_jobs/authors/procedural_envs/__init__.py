"""The LLM-free author of environments: exact knowledge of the procedural worlds, with declared defects (SPEC 6)."""
