"""The contract between whoever asks for work and whoever does it: resources, requests, artifacts, results, errors.

Imports pydantic and the standard library only, so that the operator, the command line and every job can share it.
"""
