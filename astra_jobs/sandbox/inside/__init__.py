"""What runs in zygotes and sessions: the standard library only, nothing of this package outside this folder."""
