"""What a client of sandbox servers is told. Of files, it reads the key alone; of the environment, nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import SandboxService
from astra_jobs.sandbox.protocol import SandboxLimits

Isolation = Literal["gVisor", "Process"]


OPENING = 3600.0
"""Seconds for which a job waits for its pool, which starts beside it where a queue admits the job, and else answers before it begins."""


@dataclass(frozen=True)
class Settings:
    """Where the servers are, what was promised of them, and how patient a caller is. Times are seconds.

    ``url`` is one URL or several; a host may be the name of a headless Service, which stands for all its addresses.
    ``isolation`` is the least that the caller was promised: a server that does not show it is given no code.
    """

    url: str | tuple[str, ...]
    key: str = field(repr=False)
    isolation: Isolation
    limits: SandboxLimits | None = None
    """The walls of calls that the caller counts on; None: whatever the servers have."""
    variant: int = 0
    """Which of the servers' sandboxes that differ in hash seed and clock; one that a server has not is BadInput."""
    patience: float = 60.0
    """A call, from the asking to the answer, with all that is tried again."""
    opening: float | None = None
    """The first server that answers is waited for so long; None: as long as a call."""
    lease: float = 300.0
    """A server ends a session that it has not heard of for so long."""
    batch_calls: int = 64
    """Most calls, or new sessions, in one request."""
    batch_bytes: int = 1 << 20
    """Most bytes of arguments or logs in one request, unless one alone is longer."""
    request: float = 30.0
    """A request without an answer is asked again after this."""
    silence: float = 5.0
    """A request without an answer has its server looked at every so often."""
    resolve: float = 5.0
    """The host's name is looked up every so often."""
    json: bool = False
    """JSON in place of MessagePack."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Return the URLs, without a slash at their end."""
        given = (self.url,) if isinstance(self.url, str) else self.url
        return tuple(url.rstrip("/") for url in given)


def settings_of(service: SandboxService, limits: SandboxLimits, variant: int = 0) -> Settings:
    """Return the settings for the pool that a stage's request names; BadInput names the field that cannot be used."""
    if service.isolation not in get_args(Isolation):
        known = " or ".join(get_args(Isolation))
        raise BadInput("sandbox.isolation", "BadInput", f"found {service.isolation!r}; write {known}")
    try:
        key = Path(service.key_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise BadInput("sandbox.keyFile", "BadInput", f"{service.key_file} cannot be read ({error}); mount the pool's key there") from None
    if not key or not key.isprintable():
        raise BadInput("sandbox.keyFile", "BadInput", f"{service.key_file} holds no key on one line; mount the pool's key there")
    isolation: Isolation = "gVisor" if service.isolation == "gVisor" else "Process"
    return Settings(url=tuple(service.urls), key=key, isolation=isolation, limits=limits, variant=variant, opening=OPENING)
