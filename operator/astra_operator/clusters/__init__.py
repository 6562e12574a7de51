"""Clusters behind one protocol: local files and processes."""
