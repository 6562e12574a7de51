"""The work of the ASTRA pipeline (arXiv 2601.21558): data synthesis, training and evaluation as pure job functions."""
