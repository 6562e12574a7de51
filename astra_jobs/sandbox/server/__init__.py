"""The sandbox as a service: a small HTTP front before the engine that owns zygotes and sessions (SPEC 4).

``python -m astra_jobs.sandbox.server`` starts it. It runs no tool code and keeps nothing on disk.
"""
