"""Where untrusted tool code runs (SPEC 4): one protocol for synthesis, training and evaluation."""
