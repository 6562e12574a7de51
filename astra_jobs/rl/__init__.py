"""Multi-turn reinforcement on verifiable environments: GRPO with adaptive batch filling (SPEC 5)."""
