"""What a pool refuses with. Outcomes of calls are never exceptions; these are answers to requests about sessions."""

from astra_jobs.sandbox.protocol import SequenceConflict


class UnknownEnvironment(LookupError):
    """No environment of this digest was put; the caller pushes its tools and asks again."""


class SessionConflict(ValueError):
    """A session of this id exists already and is another one: other environment, seed or log."""


class Overloaded(Exception):
    """A bound is reached; the same request may succeed after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WallMissing(Exception):
    """A promised wall does not hold here. The message names the wall, what happened and the mend."""

    def __init__(self, wall: str, happened: str, mend: str) -> None:
        super().__init__(f"sandbox wall {wall} does not hold: {happened}; {mend}")
        self.wall = wall
        self.happened = happened
        self.mend = mend


__all__ = ["Overloaded", "SequenceConflict", "SessionConflict", "UnknownEnvironment", "WallMissing"]
