"""Clients of Model Context Protocol tool servers."""
