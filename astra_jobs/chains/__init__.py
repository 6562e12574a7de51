"""ChainSynthesis: from tool graphs to judged conversations (SPEC 2)."""
