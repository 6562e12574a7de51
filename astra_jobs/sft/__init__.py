"""SFTRun: supervised fine-tuning (SPEC 5)."""
