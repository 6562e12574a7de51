"""What can go wrong between a client and a server, by what may be done about it. None of these reaches a caller."""

from typing import Literal

Infrastructure = Literal["session_lost", "overloaded", "infra_error"]


TOO_LARGE = "too_large"


class Trouble(Exception):
    """An exchange that gave nothing; the message says what happened, in one line."""


class NoAnswer(Trouble):
    """No answer came, or none that can be used; what was asked may have been done: ask for exactly the same again."""


class Busy(Trouble):
    """The server took nothing of it and asks to be left alone for ``after`` seconds (None: it did not say)."""

    def __init__(self, message: str, after: float | None) -> None:
        super().__init__(message)
        self.after = after


class Refused(Trouble):
    """The server will not do it however often it is asked; ``code`` is its word for why, ``TOO_LARGE`` for its length."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Unreachable(Trouble):
    """The server is gone for now: its sessions have to go elsewhere."""


class Exhausted(Trouble):
    """The caller's patience has ended; ``outcome`` is what the call is answered with."""

    def __init__(self, outcome: Infrastructure, message: str) -> None:
        super().__init__(message)
        self.outcome: Infrastructure = outcome
