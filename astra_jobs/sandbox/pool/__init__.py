"""The supervisor's side of a sandbox: the engine that owns zygotes and sessions. No HTTP; the server puts that in front."""

from astra_jobs.sandbox.pool.engine import Engine, process_sandbox
from astra_jobs.sandbox.pool.errors import Overloaded, SequenceConflict, SessionConflict, UnknownEnvironment, WallMissing
from astra_jobs.sandbox.pool.settings import EPOCH, VARIANTS, PoolSettings, Walls

__all__ = [
    "EPOCH",
    "VARIANTS",
    "Engine",
    "Overloaded",
    "PoolSettings",
    "SequenceConflict",
    "SessionConflict",
    "UnknownEnvironment",
    "WallMissing",
    "Walls",
    "process_sandbox",
]
