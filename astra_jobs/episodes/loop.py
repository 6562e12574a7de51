"""One episode as a state machine: a turn of the policy goes in, the observation of its calls comes out (SPEC 5).

The calls of a turn are answered in the order in which they stand in it, one after the other in their session; episodes run
side by side. A malformed call or a call of a tool that was not offered gets an error observation in its place and counts,
instead of ending the episode in silence; its text stays in the record. Sampled ids are never decoded and encoded again:
only the observation is turned into ids here. Nothing that a policy writes raises.

A call that infrastructure lost is made again in a new session after replaying the session's log. When that does not
help either, the episode ends as ``Infrastructure`` and its reward is masked.
"""

import asyncio
from dataclasses import dataclass, field

from astra_jobs.episodes import observation
from astra_jobs.episodes.policy import Dialect
from astra_jobs.episodes.reward import RewardKind, score
from astra_jobs.episodes.written import Malformed, as_text, checked, fault_of
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import INFRASTRUCTURE, Ending, Episode, EpisodeCall
from astra_jobs.sandbox.protocol import CallResult, Sandbox, ToolCode
from astra_jobs.text.fold import storable

_ATTEMPTS = 3


@dataclass(frozen=True)
class EpisodeLimits:
    """Bounds of an episode that the loop itself keeps; tokens are the engine's to count."""

    max_turns: int
    max_tool_chars: int = 4096
    max_parallel_calls: int = 8
    reward: RewardKind = "F1"


def opening(environment: Environment) -> list[Message]:
    """Return the messages that an episode starts from."""
    return [Message(role="user", content=environment.question)]


@dataclass
class Session:
    """A sandbox session that is opened at the first call and rebuilt from its log when infrastructure loses it."""

    sandbox: Sandbox
    tools: list[ToolCode]
    seed: int
    name: str | None = None
    log: dict[int, tuple[str, dict[str, object]]] = field(default_factory=dict)
    next_seq: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, tool: str, arguments: dict[str, object]) -> CallResult:
        """Run one call, over again in a rebuilt session while infrastructure fails, at most three times."""
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        for attempt in range(_ATTEMPTS):
            name = await self._opened()
            result = await self.sandbox.call(name, seq, tool, arguments)
            if result.outcome not in INFRASTRUCTURE:
                self.log[seq] = (tool, arguments)
                return result
            await self._drop(name)
            await asyncio.sleep(0.05 * attempt)
        return result

    async def close(self) -> None:
        """End the session, if there is one."""
        if self.name is not None:
            await self._drop(self.name)

    async def _opened(self) -> str:
        async with self.lock:
            if self.name is None:
                name = await self.sandbox.open(await self.sandbox.put(self.tools), self.seed)
                for seq in sorted(self.log):
                    await self.sandbox.call(name, seq, *self.log[seq])
                self.name = name
            return self.name

    async def _drop(self, name: str) -> None:
        async with self.lock:
            if self.name == name:
                self.name = None
                await self.sandbox.close(name)


@dataclass
class EpisodeLoop:
    """The state of one episode. ``turn`` is fed each finished turn; ``finish`` gives the record."""

    environment: Environment
    dialect: Dialect
    session: Session
    limits: EpisodeLimits
    messages: list[Message] = field(default_factory=list)
    calls: list[EpisodeCall] = field(default_factory=list)
    turns: int = 0
    ending: Ending | None = None

    def __post_init__(self) -> None:
        """Start from the opening messages."""
        self.messages = self.messages or opening(self.environment)

    async def turn(self, ids: list[int]) -> list[int] | None:
        """Take one sampled turn; return the ids to observe, or None when the episode is over."""
        parsed = self.dialect.parse(ids)
        written = [self._checked(place, entry) for place, entry in enumerate(parsed.written)]
        calls = [entry for entry in written if isinstance(entry, ToolCall)]
        self.messages.append(Message(role="assistant", content=storable(parsed.content), tool_calls=calls))
        index, self.turns = self.turns, self.turns + 1
        if not written:
            self.ending = "Answered"
            await self.session.close()
            return None
        texts = [await self._answer(index, entry) for entry in written]
        if any(call.outcome in INFRASTRUCTURE for call in self.calls):
            self.ending = "Infrastructure"
        elif self.turns >= self.limits.max_turns:
            self.ending = "TurnLimit"
        if self.ending:
            await self.session.close()
            return None
        return self.dialect.observations(texts)

    def _checked(self, place: int, entry: ToolCall | Malformed) -> ToolCall | Malformed:
        most = self.limits.max_parallel_calls
        call = checked(entry) if isinstance(entry, ToolCall) else entry
        if place < most or isinstance(call, Malformed):
            return call
        return Malformed(as_text(call), f"call {place + 1} of the turn was not run; at most {most} are")

    async def _answer(self, turn: int, entry: ToolCall | Malformed) -> str:
        """Run one call, record it, and return what the model is shown for it."""
        if isinstance(entry, Malformed):
            text = observation.error_text(observation.malformed(storable(entry.fault)), self.limits.max_tool_chars)
            call = EpisodeCall(turn=turn, tool="", outcome="malformed", text=storable(entry.text), fault=storable(entry.fault))
        else:
            result = await self._result(entry)
            text = shown(result, self.limits.max_tool_chars)
            call = EpisodeCall(turn=turn, tool=entry.name, arguments=entry.arguments, outcome=result.outcome, value=result.value)
        self.calls.append(call)
        self.messages.append(Message(role="tool", name=call.tool, content=text))
        return text

    async def _result(self, call: ToolCall) -> CallResult:
        if call.name not in {entry.tool.name for entry in self.environment.tools}:
            return CallResult(outcome="unknown_tool", text=observation.unknown_tool(call.name))
        result = await self.session.run(call.name, call.arguments)
        fault = fault_of(result.value)
        return CallResult(outcome="tool_error", text=f"the result cannot be kept: {fault}") if fault else result

    def finish(self, sample: int, prompt_tokens: int, response_tokens: int) -> Episode:
        """Return the record; an episode that never came to its own end was cut by the engine's token limit."""
        return Episode(
            environment=self.environment.id,
            sample=sample,
            messages=self.messages,
            calls=self.calls,
            ending=self.ending or "TokenLimit",
            reward=score(self.environment.targets, self.calls, self.limits.reward),
            prompt_tokens=prompt_tokens,
            response_tokens=response_tokens,
            turns=self.turns,
        )


def shown(result: CallResult, max_chars: int) -> str:
    """Return the observation text of a call's result."""
    if result.outcome == "ok":
        return observation.result_text(result.value, max_chars)
    return observation.error_text(storable(result.text) or result.outcome, max_chars)


def tool_codes(environment: Environment) -> list[ToolCode]:
    """Return an environment's tools in the form that a sandbox takes."""
    return [ToolCode(name=entry.tool.name, parameters=entry.tool.parameters, code=entry.code) for entry in environment.tools]


def relabel(episode: Episode, **labels: str) -> Episode:
    """Return the episode with labels added."""
    return episode.model_copy(update={"labels": {**episode.labels, **labels}})
