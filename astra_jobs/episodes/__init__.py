"""Episodes of a policy in an environment: the loop over turns, what the model is shown, what it earns (SPEC 5); no torch."""
