"""EnvSynthesis: from question graphs to verified environments (SPEC 3)."""
