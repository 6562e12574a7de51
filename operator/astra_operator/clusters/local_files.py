"""Files that survive ``kill -9``: whole or not at all, and one writer at a time."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


class Busy(Exception):
    """Somebody else holds the lock; the message says who."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file in one step, durable before it becomes visible."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with fresh.open("w") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def take_lock(path: Path, who: Mapping[str, Any]) -> IO[str]:
    """Hold a lock until the returned file is closed or the process ends.

    Raises:
        Busy: naming the holder from what it wrote into the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        text = handle.read()
        handle.close()
        raise Busy(_holder(path, text)) from None
    handle.seek(0)
    handle.truncate()
    json.dump(dict(who), handle)
    handle.flush()
    return handle


def _holder(path: Path, text: str) -> str:
    try:
        who = json.loads(text)
    except json.JSONDecodeError:
        return f"{path} is held by another process"
    return f"{path} is held by process {who.get('pid', '?')} since {who.get('since', '?')} ({who.get('command', '?')})"
