"""What this server can prove of itself, and the refusal to start without what was promised.

A wall holds when the engine's probe met it here; a property of the pod holds when it was seen. What was not tested is
told as false, with the reason.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.pool.errors import WallMissing
from astra_jobs.sandbox.pool.settings import Walls
from astra_jobs.sandbox.server.evidence import MENDS, Evidence, interfaces
from astra_jobs.sandbox.server.settings import ServerSettings

PROTOCOL = 1
"""Version of the HTTP protocol; it grows when an old client would misunderstand an answer."""
DISTRIBUTION = "astra-on-kubernetes"


def walls_of(engine: Engine) -> dict[str, Evidence]:
    """Return every wall with the evidence of its probe."""
    walls = {}
    for name in Walls._fields:
        if not getattr(engine.settings.walls, name):
            walls[name] = Evidence(False, "switched off")
        elif name == "own_uid" and engine.variant != "own":
            walls[name] = Evidence(False, "all sessions have the server's user id; it may not give others (KILL, SETGID, SETUID)")
        elif name in engine.proof:
            walls[name] = Evidence(True, engine.proof[name])
        else:
            walls[name] = Evidence(False, "not tested")
    return walls


def walls_of_all(engines: Sequence[Engine]) -> dict[str, Evidence]:
    """Return every wall with its evidence; one holds when it does in all engines."""
    first, *others = map(walls_of, engines)
    return {name: next((walls[name] for walls in (first, *others) if not walls[name].holds), first[name]) for name in first}


def require(names: tuple[str, ...], pod: dict[str, Evidence], walls: dict[str, Evidence]) -> None:
    """Raise WallMissing, with what was seen and the mend, for the first of the names that does not hold."""
    for name in names:
        seen = pod.get(name) or walls[name.replace("-", "_")]
        if not seen.holds:
            raise WallMissing(name, seen.evidence, MENDS.get(name, "start the server where it can be put up, or do not require it"))


def capabilities(settings: ServerSettings, engines: Sequence[Engine], pod: dict[str, Evidence]) -> dict[str, Any]:
    """Return the answer of GET /v1/capabilities. Bounds are those of each variant."""
    pool = settings.pool
    return {
        "protocol": PROTOCOL,
        "version": _version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sandbox": "gVisor" if pod["gvisor"].holds else "none",
        "properties": {name: seen._asdict() for name, seen in pod.items()},
        "walls": {name: seen._asdict() for name, seen in walls_of_all(engines).items()},
        "uid": "own" if all(engine.variant == "own" for engine in engines) else "shared",
        "interfaces": interfaces(),
        "limits": {"seconds": pool.limits.seconds, "memory_mib": pool.limits.memory_mib, "output_chars": pool.limits.output_chars},
        "bounds": {
            "sessions": pool.sessions,
            "live": pool.live,
            "log_mib": pool.log_mib,
            "session_log_mib": pool.session_log_mib,
            "environments": pool.environments,
            "parallel": pool.parallel,
            "queue": pool.queue,
            "session_queue": pool.session_queue,
            "lease_seconds": pool.lease_seconds,
            "body_bytes": settings.http.body,
            "connections": settings.http.connections,
        },
        "variants": len(engines),
        "determinism": {"hash_seed": pool.hash_seed, "epoch": pool.epoch},
    }


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
