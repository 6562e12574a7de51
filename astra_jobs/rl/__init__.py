"""RLRun: reinforcement on verifiable environments (SPEC 5)."""
