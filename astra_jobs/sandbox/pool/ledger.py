"""How much memory sessions and their calls hold, for replays and for answers that are asked for again; and who gives some back.

A call is kept with its arguments, which a replay needs; one that left no trace is kept by a digest. Where all of it is more
than may be, sessions that nothing is asked of are ended: of the environment that holds most, those that were used longest ago
first, and those that hold little last. Whoever asks one of them again is told that it was lost, and makes it anew from a log of his
own, as after any loss.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from astra_jobs.sandbox.pool.records import Bundle, Pending, Session

SESSION, CALL = 2048, 512
"""Bytes of memory that a session and a call take besides arguments and texts."""
LEFT = 0.9
"""Share of what may be held that is left after some was given back."""
SHORT = 64
"""Arguments of so many bytes are kept as they are."""


def digest_of(body: bytes) -> bytes:
    """Return what a call without a trace is recognised by; no arguments begin like it."""
    return b"\0" + blake2b(body, digest_size=16).digest()


def is_same(known: Pending, body: bytes) -> bool:
    """Tell whether a call that is known was made with these arguments."""
    return known.body == body or (known.body[:1] == b"\0" and known.body == digest_of(body))


class Ledger:
    """Bytes held by all sessions of a pool. ``most`` is what may be held."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def add(self, session: Session, size: int) -> None:
        """Count bytes of a session; negative ones are given back."""
        session.held += size
        session.bundle.held += size
        self.held += size

    def asked(self, session: Session, pending: Pending) -> None:
        """Count a call that was asked for."""
        size = len(pending.body)
        session.waiting += size
        size += CALL
        session.held += size
        session.bundle.held += size
        self.held += size

    def answered(self, session: Session, pending: Pending, kept: bool, logged: bool) -> None:
        """Count a call's result; ``kept`` says that the call is remembered, ``logged`` that a replay needs its arguments."""
        size = len(pending.body)
        session.waiting -= size
        result = pending.result
        if not kept:
            self.add(session, -CALL - size)
        elif logged or size <= SHORT:
            more = len(result.text) if result is not None else 0
            session.held += more
            session.bundle.held += more
            self.held += more
        else:
            pending.body = digest_of(pending.body)
            self.add(session, len(pending.body) - size + (len(result.text) if result is not None else 0))

    def ended(self, session: Session) -> None:
        """Give back all that a session held."""
        self.add(session, -session.held)

    def victims(self, sessions: Iterable[Session], but: Session) -> Iterator[Session]:
        """Give the sessions that have to end, all but one, until enough was given back; each is ended before the next is taken."""
        idle: dict[Bundle, list[Session]] = {}
        for session in sessions:
            if session is not but and not (session.busy or session.queue or session.in_line):
                idle.setdefault(session.bundle, []).append(session)
        for some in idle.values():
            average = sum(session.held for session in some) / len(some)
            some.sort(key=lambda session, average=average: (session.held >= average, -session.used))  # type: ignore[misc]
        while self.held > LEFT * self.most and idle:
            heaviest = max(idle, key=lambda bundle: bundle.held)
            yield idle[heaviest].pop()
            if not idle[heaviest]:
                del idle[heaviest]
