"""Small means that the harness is built from: free ports, waiting on a condition, the audit log. No Kubernetes objects are made here."""

import contextlib
import fcntl
import itertools
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.patience import patience

Value = TypeVar("Value")

LOCKS = Path.home() / ".cache" / "astra" / "ports"
PORTS, BLOCK = (12000, 32000), 100
_numbers = itertools.count()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, from a block that belongs to this process.

    The blocks lie below the range that the kernel gives to outgoing connections, and another process with this harness has another one.
    A stranger may still take a port before it is used: whoever starts a server must be ready to try again.
    """
    first = _block()
    found: list[int] = []
    for number in itertools.islice(_numbers, BLOCK):
        port = first + number % BLOCK
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"only {len(found)} of the {BLOCK} ports from {first} on are free, {count} are needed")


@cache
def _block() -> int:
    # The lock is never released: the kernel does it when this process ends.
    LOCKS.mkdir(parents=True, exist_ok=True)
    blocks = list(range(*PORTS, BLOCK))
    random.shuffle(blocks)
    for first in blocks:
        lock = os.open(LOCKS / str(first), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return first
    raise RuntimeError(f"every block of ports of {LOCKS} is in use: {len(blocks)} test sessions at once are too many")


def listens(port: int) -> bool:
    """Whether a server accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: str, probe: Callable[[], Value | None], seconds: float = 90, every: float = 0.05) -> Value:
    """Call `probe` until it gives something true, and return that; AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + patience(seconds)
    while True:
        if value := probe():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience(seconds):g} s: {what}")
        time.sleep(every)


def read_audit(log: Path, since: int) -> list[dict[str, Any]]:
    """The complete audit events from byte `since` on."""
    return list(_events(log, since))


def _events(log: Path, since: int) -> Iterator[dict[str, Any]]:
    with log.open("rb") as file:
        file.seek(since)
        for line in file:
            if not line.endswith(b"\n"):
                return  # being written
            yield json.loads(line)
