"""Is a server what the caller was promised? Asked before it is given any code.

A server's word alone is not taken: it has to say what it saw, of the kernel for gVisor and of its own walls in any case. A
server that lies about what it saw is not found out here; it runs from the project's image, under the platform team's policy.
"""

from typing import Any

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.protocol import SandboxLimits
from astra_jobs.sandbox.remote.settings import Isolation

PROTOCOL = 1
"""The version of the HTTP protocol that is spoken here."""
OPTIONAL = frozenset({"own_uid"})
"""Walls that a pod need not have: without them, others stand in their place."""
SUPERVISED = frozenset({"wall", "output", "encoder", "recursion"})
"""Walls that the pool keeps up itself, call by call; a server may leave them untested at its start."""
UNTESTED = "not tested"
_SHOWN = 300
_GVISOR = "run the sandbox pods under a RuntimeClass whose handler is runsc, or have the team's settings say isolation: Process"
_WALLS = "run the sandbox server of this project, on a node where its walls can be put up"


def check(url: str, promised: Isolation, capabilities: Any, limits: SandboxLimits | None = None, variant: int = 0) -> None:
    """Raise BadInput unless the isolation that was promised is shown, and the variant there; its reason is SandboxRuntimeMissing.

    Another version of the protocol, or other limits than the caller's, are BadInput too: results would not be the same.
    """
    told = capabilities if isinstance(capabilities, dict) else {}
    if "protocol" in told and told["protocol"] != PROTOCOL:
        found = f"{url} speaks version {told['protocol']!r:.20} of the protocol, this job {PROTOCOL}"
        raise BadInput("sandbox.url", "BadInput", f"{found}; use one version of the image for both")
    fault, mend = _walls_fault(told), _WALLS
    if fault is None and promised == "gVisor":
        fault, mend = _gvisor_fault(told), _GVISOR
    if fault is not None:
        message = f"{url} was promised to have isolation {promised}, found: {fault}; {mend}"
        raise BadInput("sandbox.isolation", "SandboxRuntimeMissing", message)
    offered = told.get("variants", 1)
    if variant and not (isinstance(offered, int) and variant < offered):
        found = f"{url} offers {offered!r:.20} of the variants of a sandbox, this job needs {variant + 1}"
        raise BadInput("sandbox.variant", "SandboxRuntimeMissing", f"{found}; start the pool with ASTRA_SANDBOX_VARIANTS={variant + 1}")
    wanted = limits.model_dump(by_alias=False) if limits is not None else None
    if wanted is not None and told.get("limits") != wanted:
        found = f"{url} has the limits {told.get('limits')!r:.100}, this job counts on {wanted!r}"
        raise BadInput("sandbox.limits", "BadInput", f"{found}; start the pool with the limits of the run")


def _walls_fault(told: dict[Any, Any]) -> str | None:
    walls = told.get("walls")
    if not isinstance(walls, dict) or not walls:
        return "it tells of no walls"
    for name, wall in walls.items():
        untested = name in SUPERVISED and _words(wall) == UNTESTED
        if name not in OPTIONAL and not untested and not _holds(wall):
            return f"the wall {name!s:.40} does not hold: {_words(wall) or 'nothing is shown for it'}"
    return None


def _gvisor_fault(told: dict[Any, Any]) -> str | None:
    properties = told.get("properties")
    seen = properties.get("gvisor") if isinstance(properties, dict) else None
    if told.get("sandbox") != "gVisor":
        words = _words(seen)
        return "it is not in gVisor" + (f": {words}" if words else "")
    return None if _holds(seen) else "it says gVisor and shows nothing for it"


def _holds(seen: Any) -> bool:
    return isinstance(seen, dict) and seen.get("holds") is True and bool(_words(seen))


def _words(seen: Any) -> str:
    told = seen.get("evidence") if isinstance(seen, dict) else None
    return " ".join(told.split())[:_SHOWN] if isinstance(told, str) else ""
