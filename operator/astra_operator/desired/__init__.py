"""Pure builders: a run and its facts to Kubernetes objects."""
