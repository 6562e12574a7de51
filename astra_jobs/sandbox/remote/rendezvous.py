"""Which server a session goes to: rendezvous hashing of its environment with bounded load.

Sessions of one environment share a server, where its zygote is warm, until that server has more than its share. A server
that leaves moves only what it had; one that comes takes only what it wins. Pure functions; knows no network.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import blake2b
from math import ceil

BOUND = Fraction(5, 4)
"""A server takes at most this times the average of the open sessions, rounded up."""


def weight(endpoint: str, digest: str) -> int:
    """Return an endpoint's claim to an environment; the highest wins."""
    return int.from_bytes(blake2b(f"{endpoint}\0{digest}".encode(), digest_size=8).digest(), "big")


def ranked(endpoints: Sequence[str], digest: str) -> list[str]:
    """Return the endpoints from the strongest claim to the weakest."""
    return sorted(endpoints, key=lambda endpoint: (weight(endpoint, digest), endpoint), reverse=True)


def share(sessions: int, endpoints: int) -> int:
    """Return the most sessions that an endpoint may have when there are so many in all, the new one counted."""
    return ceil(BOUND * sessions / endpoints)


def choose(loads: Mapping[str, int], digest: str) -> str:
    """Return the endpoint of a new session, given the open sessions of every endpoint; ValueError when there is none."""
    if not loads:
        raise ValueError("no endpoint to choose from")
    most = share(sum(loads.values()) + 1, len(loads))
    return next(endpoint for endpoint in ranked(list(loads), digest) if loads[endpoint] < most)
