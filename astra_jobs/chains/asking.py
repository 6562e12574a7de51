"""Asking a judge until its answer can be read, within a budget; after that the item is unscored (SPEC 2, fail closed)."""

from collections.abc import Callable
from typing import TypeVar

from astra_jobs.api.base import Model
from astra_jobs.authors.base import Author, Request

AnswerT = TypeVar("AnswerT", bound=Model)
ATTEMPTS = 3


async def ask_readable(author: Author, make: Callable[[int], Request[AnswerT]], readable: Callable[[AnswerT], bool]) -> AnswerT | None:
    """Return the first readable answer of at most ``ATTEMPTS``, or None. ``make`` builds the request of an attempt."""
    for attempt in range(ATTEMPTS):
        answer = await author.answer(make(attempt))
        if readable(answer):
            return answer
    return None
