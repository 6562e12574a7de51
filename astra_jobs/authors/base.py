"""The author protocol: one typed question, one typed answer, or a counted refusal.

A judge that cannot give a verdict answers with ``unscored`` set; that never passes and never counts as a value.
"""

from typing import ClassVar, Generic, Protocol, TypeVar

from astra_jobs.api.base import Model

AnswerT = TypeVar("AnswerT", bound=Model)


class Request(Model, Generic[AnswerT]):
    """Base of all typed requests; ``purpose`` names it in ledgers and reports."""

    purpose: ClassVar[str]


class AuthorCannot(Exception):
    """The author does not know how to answer this request (a server that the procedural author did not make)."""


class Author(Protocol):
    """Answers typed requests; the answer to equal requests is equal."""

    async def answer(self, request: Request[AnswerT]) -> AnswerT:
        """Return the typed answer or raise AuthorCannot."""
