"""Heads of requests that were accepted before: a client sends the same one with almost every call.

A head that is the same to the last byte, its key included, means the same; reading it again would cost as much as all
else that the front does for a call. Only heads of whole requests with a counted body are kept, and what is not kept is
read by the parser as ever. A wrong key is never in here, and equality is found by hash, so time tells nothing of a key.
"""

from dataclasses import dataclass
from typing import Any

from astra_jobs.sandbox.server.exchange import Exchange, Route, Waiter

MOST = 512
"""Heads that are kept; past that, all are forgotten and learned again."""
LONGEST = 1024
"""Longest head that is kept, bytes."""
END = b"\r\n\r\n"
POST = b"POST"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a head came to; ``length`` is that of the body, bytes."""

    route: Route | None
    form: Any
    answer_form: Any
    length: int

    def exchange(self, waiter: Waiter, body: bytes) -> Exchange:
        """Return a whole request with this head."""
        made = Exchange(waiter, POST, self.route)
        made.form, made.answer_form, made.body = self.form, self.answer_form, body
        return made


class Heads:
    """The accepted heads of one server."""

    def __init__(self) -> None:
        self._known: dict[bytes, Accepted] = {}

    def find(self, data: bytes, waiter: Waiter) -> Exchange | None:
        """Return the request when bytes that begin at a boundary are exactly one with a known head."""
        end = data.find(END) + len(END)
        known = self._known.get(data[:end])
        return known.exchange(waiter, data[end:]) if known is not None and len(data) == end + known.length else None

    def learn(self, data: bytes, length: int, exchange: Exchange) -> None:
        """Keep the head of a request that was parsed from bytes that began at a boundary, if they were exactly this one."""
        end = data.find(END) + len(END)
        if exchange.method == POST and not exchange.argument and length >= 0 and len(data) == end + length and end <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[data[:end]] = Accepted(exchange.route, exchange.form, exchange.answer_form, length)
