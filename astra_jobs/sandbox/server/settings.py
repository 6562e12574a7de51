"""What the server's process is told, by arguments or by the environment: the only reader of both.

Every option ``--some-name`` may be given as ``ASTRA_SANDBOX_SOME_NAME``; the argument wins. The key is read from a file
only, so that it is in no list of processes and in no child's environment.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool.settings import VARIANTS, PoolSettings, Walls
from astra_jobs.sandbox.protocol import SandboxLimits
from astra_jobs.sandbox.server.bounds import HttpBounds
from astra_jobs.sandbox.server.evidence import MENDS

PREFIX = "ASTRA_SANDBOX_"
REASON = "SettingsInvalid"
SHORTEST_KEY = 16


class Option(NamedTuple):
    """A number: its default, its range and what it says."""

    name: str
    default: float
    least: float
    most: float
    about: str


_POOL, _LIMITS, _HTTP = PoolSettings(), SandboxLimits(), HttpBounds()
OPTIONS = (
    Option("port", 8080, 0, 65535, "port to listen on; 0 lets the system choose"),
    Option("seconds", _LIMITS.seconds, 0.01, 600.0, "CPU seconds of a call"),
    Option("memory-mib", _LIMITS.memory_mib, 32, 65536, "memory of a session, MiB"),
    Option("output-chars", _LIMITS.output_chars, 64, 1 << 20, "longest result, characters"),
    Option("sessions", _POOL.sessions, 1, 10_000_000, "most open sessions"),
    Option("live", _POOL.live, 1, 65536, "most live session processes"),
    Option("environments", _POOL.environments, 1, 65536, "most environments that are kept warm"),
    Option("zygote-mib", _POOL.zygote_mib, 16, 1 << 20, "memory of all warm environments, MiB"),
    Option("log-mib", _POOL.log_mib, 1, 1 << 20, "memory of all sessions' calls, kept for replays, MiB; above it, idle sessions end"),
    Option("session-log-mib", _POOL.session_log_mib, 1, 1 << 20, "arguments and results that one session's calls may hold, MiB"),
    Option("parallel", _POOL.parallel, 1, 65536, "most sessions with a call running"),
    Option("queue", _POOL.queue, 1, 10_000_000, "most calls that wait or run"),
    Option("session-queue", _POOL.session_queue, 1, 1_000_000, "most calls of one session that wait or run"),
    Option(
        "variants", 1, 1, len(VARIANTS), "sandboxes that differ in hash seed, clock and where objects lie, each with such bounds of its own"
    ),
    Option("lease-seconds", 600.0, 1.0, 86400.0, "seconds without a call or heartbeat after which a session ends"),
    Option("connections", _HTTP.connections, 1, 65536, "most connections"),
    Option("body-mib", _HTTP.body >> 20, 1, 1024, "largest body of a request, MiB"),
    Option("idle-seconds", _HTTP.idle_seconds, 0.1, 86400.0, "seconds that a connection may stay without a request"),
    Option("drain-seconds", 30.0, 0.0, 86400.0, "seconds that open sessions have to end after SIGTERM"),
)


@dataclass(frozen=True)
class ServerSettings:
    """All that the server needs to know; ``require`` names what must hold before it listens."""

    key: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    pool: PoolSettings = field(default_factory=PoolSettings)
    variants: int = 1
    http: HttpBounds = field(default_factory=HttpBounds)
    require: tuple[str, ...] = ()
    drain_seconds: float = 30.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput("arguments", REASON, f"{message}; --help lists them")


def server_settings(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> ServerSettings:
    """Read the settings, of this process by default; raises BadInput that names the option and the mend."""
    told = _told(arguments, os.environ if environment is None else environment)
    numbers = {option.name: _number(told, option) for option in OPTIONS}
    whole = {name: int(value) for name, value in numbers.items()}
    key = _key(told.get("key-file", ""))
    return ServerSettings(
        key=key,
        host=told.get("host") or "127.0.0.1",
        port=whole["port"],
        pool=PoolSettings(
            limits=SandboxLimits(seconds=numbers["seconds"], memory_mib=whole["memory-mib"], output_chars=whole["output-chars"]),
            live=whole["live"],
            environments=whole["environments"],
            zygote_mib=whole["zygote-mib"],
            log_mib=whole["log-mib"],
            session_log_mib=whole["session-log-mib"],
            sessions=whole["sessions"],
            parallel=whole["parallel"],
            queue=whole["queue"],
            session_queue=whole["session-queue"],
            lease_seconds=numbers["lease-seconds"],
        ),
        variants=whole["variants"],
        http=HttpBounds(body=whole["body-mib"] << 20, connections=whole["connections"], idle_seconds=numbers["idle-seconds"]),
        require=_required(told.get("require", "")),
        drain_seconds=numbers["drain-seconds"],
    )


def known_requirements() -> list[str]:
    """Return everything that can be required: what evidence is looked for, and every wall."""
    return sorted({*MENDS, *(name.replace("_", "-") for name in Walls._fields)})


def _told(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> dict[str, str]:
    parser = _Parser(prog="python -m astra_jobs.sandbox.server", description="Serve a sandbox over HTTP.")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--key-file", help="file that holds the key of clients; required")
    parser.add_argument("--require", help=f"what must hold, with commas: {', '.join(known_requirements())}")
    for option in OPTIONS:
        parser.add_argument(f"--{option.name}", help=f"{option.about} ({option.default:g})")
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    told = {}
    for name, value in given.items():
        value = environment.get(PREFIX + name.upper()) if value is None else value
        if value is not None:
            told[name.replace("_", "-")] = value
    return told


def _number(told: Mapping[str, str], option: Option) -> float:
    text = told.get(option.name, "")
    if not text:
        return option.default
    whole = isinstance(option.default, int)
    wanted = f"set a {'whole ' if whole else ''}number from {option.least:g} to {option.most:g}, or leave it out for {option.default:g}"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise BadInput(option.name, REASON, f'"{text}" is not a number; {wanted}') from None
    if not option.least <= value <= option.most:
        raise BadInput(option.name, REASON, f"{text} is out of range; {wanted}")
    return value


def _key(name: str) -> bytes:
    mend = f"write a key of at least {SHORTEST_KEY} characters into a file and name it"
    if not name:
        raise BadInput("key-file", REASON, f"it is not set, and a server without a key would run anybody's code; {mend}")
    try:
        key = Path(name).read_bytes().strip()
    except OSError as error:
        raise BadInput("key-file", REASON, f"{name} cannot be read ({error.strerror}); {mend}") from None
    if len(key) < SHORTEST_KEY or not all(0x21 <= character <= 0x7E for character in key):
        raise BadInput("key-file", REASON, f"{name} holds no key of visible ASCII characters that is long enough; {mend}")
    return key


def _required(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().replace("_", "-") for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known_requirements():
            raise BadInput("require", REASON, f'"{name}" is not known; choose from {", ".join(known_requirements())}')
    return names
