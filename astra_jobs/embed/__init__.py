"""Embeddings of tool documents and their neighbours."""
