"""Small means that the harness is built from: free ports, waiting on a condition, the audit log. No Kubernetes objects are made here."""

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, below the range that the kernel gives to outgoing connections.

    Another process may still take one before it is used: whoever starts a server must be ready to try again.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def listens(port: int) -> bool:
    """Whether a server accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: str, probe: Callable[[], Value | None], seconds: float = 30, every: float = 0.05) -> Value:
    """Call `probe` until it gives something true, and return that; AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := probe():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
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
