"""Which user ids sessions may have: a range of their own where this process may give one, else none."""

import os
from pathlib import Path

from astra_jobs.sandbox.pool.settings import PoolSettings

_NEEDED = (5, 6, 7)
"""CAP_KILL, CAP_SETGID, CAP_SETUID."""
_HIGH, _LOW = 1 << 28, 20_000
_SPAN = 1 << 12
SPARE = 64
"""Ids beyond the live processes, for those that are just ending."""


def capable(status: Path = Path("/proc/self/status")) -> bool:
    """Return whether this process holds the capabilities that separate users need."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        held = int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)
    except (OSError, StopIteration, ValueError, IndexError):
        return False
    return all(held >> number & 1 for number in _NEEDED)


def mapped(limit: int, maps: Path = Path("/proc/self/uid_map")) -> bool:
    """Return whether user ids up to a limit exist in this user namespace."""
    try:
        ranges = [[int(word) for word in line.split()] for line in maps.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return False
    return any(first <= 0 and first + count > limit for first, _, count in ranges)


def users(settings: PoolSettings) -> range | None:
    """Return the ids for sessions; None for the variant in which all share this process's."""
    if not settings.walls.own_uid or not capable():
        return None
    count = 2 * settings.live + SPARE
    skipped = settings.uid_block * count
    if settings.uid_base is not None:
        return range(settings.uid_base + skipped, settings.uid_base + skipped + count)
    for start, spans in ((_HIGH, 1 << 14), (_LOW, 8)):
        first = start + os.getpid() % spans * _SPAN + skipped
        if mapped(first + count):
            return range(first, first + count)
    return None
