"""The one way from a job to its tools: the pool that its request names, or else sessions of its own process.

Which of the two a stage has is the operator's to say; whether that keeps what was promised is checked before the stage runs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from astra_jobs.api.request import SandboxService
from astra_jobs.sandbox.pool import VARIANTS, process_sandbox
from astra_jobs.sandbox.protocol import Sandbox, SandboxLimits
from astra_jobs.sandbox.remote import remote_sandbox, settings_of


@asynccontextmanager
async def sandbox_of(service: SandboxService | None, limits: SandboxLimits, variant: int = 0) -> AsyncIterator[Sandbox]:
    """Give the sandbox of a stage; raises BadInput, with the reason SandboxRuntimeMissing, for a pool that is not what was promised.

    Sandboxes of different variants differ in hash seed, clock and where objects lie; number 0 is the sandbox of record.
    """
    if service is None:
        async with process_sandbox(limits, **VARIANTS[variant]._asdict()) as own:
            yield own
    else:
        async with remote_sandbox(settings_of(service, limits, variant)) as pool:
            yield pool
