"""An API server's answer → what the reconcile is told: one table, so that no caller judges status codes by itself.

It never tries again: the work queue does, with a growing delay.
"""

import email.utils
import time
from typing import Any, NamedTuple

from astra_operator.clusters.base import ClusterError, Refused, Unreachable

_LONGEST_HINT = 300.0
_BUSY = (408, 425, 429)


class Answer(NamedTuple):
    """What an API server said: a status code and the JSON object under it (an object, a list, or a Status)."""

    code: int
    body: dict[str, Any]

    @property
    def good(self) -> bool:
        """Tell if the call did what it was asked to."""
        return 200 <= self.code < 300

    @property
    def reason(self) -> str:
        """Return the machine-readable reason of a failure, such as AlreadyExists."""
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        """Return the API server's own words, in one line."""
        return " ".join(str(self.body.get("message") or self.body.get("reason") or f"status {self.code}").split())[:1000]


def raise_busy(what: str, answer: Answer, retry_after: str) -> None:
    """Raise ``Unreachable`` for an answer that says nothing about the object: overload, a broken server, a redirect."""
    if answer.code >= 500 or answer.code in _BUSY or 300 <= answer.code < 400:
        raise Unreachable(f"{what}: {answer.code} {answer.message}", hint_seconds(retry_after))


def failure(what: str, answer: Answer) -> ClusterError:
    """Return the error for an answer that is not good and that the caller has no better word for.

    Conflicts and expired credentials are tried again; anything else that the API server will not have is ``Refused``.
    """
    if answer.code in (401, 409, 410):
        return ClusterError(f"{what}: {answer.code} {answer.message}")
    return Refused(answer.message)


def hint_seconds(text: str) -> float:
    """Read a Retry-After header, seconds or an HTTP date; 0 when there is none or it cannot be read."""
    if text.strip().isdigit():
        return min(_LONGEST_HINT, float(text))
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return 0.0
    return max(0.0, min(_LONGEST_HINT, moment - time.time()))
