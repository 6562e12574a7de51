"""What an episode needs of a policy, so that it knows neither torch nor an engine: tokens in, tokens out."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from astra_jobs.episodes.written import Malformed
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.tool import Tool

OnTurn = Callable[[int, list[int]], Awaitable[list[int] | None]]


class Turn(Protocol):
    """A parsed assistant turn."""

    @property
    def content(self) -> str:
        """Text outside the calls."""

    @property
    def written(self) -> Sequence[ToolCall | Malformed]:
        """Calls in the order in which they stand in the turn; what looked like one and was none keeps its place."""


class Dialect(Protocol):
    """The chat form of a model family, in tokens."""

    def prompt(self, tools: Sequence[Tool], messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation so far, with the assistant's header at the end."""

    def observations(self, texts: Sequence[str]) -> list[int]:
        """Return the ids that follow an assistant turn: its calls' results and the next assistant header."""

    def parse(self, ids: Sequence[int]) -> Turn:
        """Read what the policy wrote in one turn."""


class Rollout(Protocol):
    """The tokens of one finished episode, as an engine returns them."""

    @property
    def ids(self) -> Sequence[int]:
        """Everything after the prompt: what was sampled and what was observed."""

    @property
    def ending(self) -> Any:
        """Why the engine stopped; read as text."""
