"""``python -m astra_jobs.sandbox.server``: start a server, or say in one line why not.

Exit codes are those of jobs: 78 for what somebody has to change, 75 for what may go away, 0 after a drain.
"""

import asyncio
import gc
import logging
import resource
import sys
from dataclasses import replace

import uvloop

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_OK, EXIT_TRANSIENT, JobError
from astra_jobs.sandbox.pool.errors import WallMissing
from astra_jobs.sandbox.server.service import Service
from astra_jobs.sandbox.server.settings import ServerSettings, server_settings

DESCRIPTORS = 65536
"""Most descriptors that are asked for; each connection, environment and live session needs one."""
OWN_DESCRIPTORS = 64
"""Descriptors for everything else."""
COLLECT = (20_000, 20, 50)
"""Objects of calls are many and live long: looking for garbage less often costs less than it saves."""
log = logging.getLogger(__name__)


def fitting(settings: ServerSettings) -> ServerSettings:
    """Use as many descriptors as the system allows; with few, take fewer connections rather than lose sessions to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    room = max(1, max(soft, wanted) - settings.variants * (settings.pool.live + settings.pool.environments) - OWN_DESCRIPTORS)
    if settings.http.connections <= room:
        return settings
    log.warning("only %d descriptors are allowed: %d connections instead of %d", wanted, room, settings.http.connections)
    return replace(settings, http=replace(settings.http, connections=room))


async def run(settings: ServerSettings) -> None:
    """Serve until told to end."""
    service = Service(settings)
    await service.start()
    gc.collect()
    gc.freeze()  # what is here now stays: no collection needs to look at it
    gc.set_threshold(*COLLECT)
    print(f"astra sandbox server: listening on {settings.host}:{service.port}", file=sys.stderr, flush=True)
    await service.serve()


def main() -> int:
    """Return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = fitting(server_settings())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except WallMissing as error:
        return _refused(str(error), EXIT_BAD_INPUT)
    except JobError as error:
        return _refused(str(error), error.exit_code)
    except OSError as error:
        return _refused(f"the address cannot be listened on: {error}", EXIT_TRANSIENT)
    return EXIT_OK


def _refused(why: str, code: int) -> int:
    print(f"astra sandbox server: not started: {' '.join(why.split())}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
