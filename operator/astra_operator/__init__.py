"""The operator: one level-triggered reconcile over two clusters."""
