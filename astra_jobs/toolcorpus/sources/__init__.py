"""Sources of tool documents, one module each."""
