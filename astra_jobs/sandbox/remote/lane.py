"""One server as sessions use it: shown to be what was promised, given environments once, asked in batches."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from astra_jobs.sandbox.remote.batcher import Batcher
from astra_jobs.sandbox.remote.connection import Connection
from astra_jobs.sandbox.remote.line import Line
from astra_jobs.sandbox.remote.metrics import Metrics
from astra_jobs.sandbox.remote.settings import Settings
from astra_jobs.sandbox.remote.troubles import Exhausted, NoAnswer, Refused, Trouble
from astra_jobs.sandbox.remote.trust import check
from astra_jobs.sandbox.remote.wire import (
    JSON,
    PACKED,
    Arguments,
    CallAnswer,
    CallAnswers,
    CallRequest,
    HeartbeatAnswer,
    SessionAnswer,
    SessionAnswers,
    SessionRequest,
    content_of,
    encode,
)

CLOSERS = 4
"""Sessions that are being ended on one server at a time; nobody waits for them."""
HEARTBEAT = 4096
"""Most sessions in one heartbeat."""
Answer = TypeVar("Answer")


class Call(Protocol):
    """What is sent of a call."""

    seq: int
    tool: str
    arguments: Arguments
    asked: float
    deadline: float
    sent: bool


class Opening(Protocol):
    """What is sent of a session to be started."""

    name: str
    environment: str
    seed: int
    log: list[tuple[str, Arguments, str, str]]
    deadline: float


class Lane(Line):
    """A server, the environments that it was given, and what is on the way to it. ``load``: the sessions that are there."""

    def __init__(self, connection: Connection, settings: Settings, metrics: Metrics, bundles: Mapping[str, bytes]) -> None:
        super().__init__(connection, settings, metrics)
        self.load = 0
        self.epoch = 0
        self._bundles = bundles
        self._preferred = JSON if settings.json else PACKED
        number, size = settings.batch_calls, settings.batch_bytes
        self.calls: Batcher[tuple[str, Sequence[Call]], list[CallAnswer]] = Batcher(self._send_calls, number, size)
        self.openings: Batcher[Opening, SessionAnswer] = Batcher(self._send_openings, number, size)
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._stepping: set[asyncio.Task[None]] = set()
        self._ended: deque[str] = deque()
        self._closers: set[asyncio.Task[None]] = set()

    async def ready(self, environment: str, deadline: float) -> None:
        """Return once the server has shown what it is and has the environment; JobError when it is not what was promised."""
        await self.trusted(deadline)
        await self._once(environment, lambda: self._put(environment), deadline)

    def forget(self, environment: str) -> None:
        """Take it that the server has to be given an environment again."""
        self._steps.pop(environment, None)

    async def trusted(self, deadline: float) -> None:
        """Return once the server has shown what it is."""
        await self._once("", self._verify, deadline)

    def stale(self, epoch: int) -> None:
        """Take it that the server began anew since that epoch: it has to show itself and be given everything again."""
        if epoch == self.epoch:
            self.epoch += 1
            self._steps.clear()

    def fall(self) -> None:
        """Take the server for gone; what comes back may be another."""
        super().fall()
        self.stale(self.epoch)

    async def heartbeat(self, names: Sequence[str]) -> list[str]:
        """Keep sessions from ending; return those that the server does not have."""
        unknown: list[str] = []
        for start in range(0, len(names), HEARTBEAT):
            body = encode({"sessions": names[start : start + HEARTBEAT]}, self._preferred), self._preferred
            unknown += (await self.exchange("POST", "/v1/heartbeat", body, HeartbeatAnswer)).unknown
        return unknown

    def end(self, name: str) -> None:
        """Have a session ended some time soon; when that fails, its lease ends it."""
        if self.down:
            return
        self._ended.append(name)
        if len(self._closers) < CLOSERS:
            task = asyncio.get_running_loop().create_task(self._close())
            self._closers.add(task)
            task.add_done_callback(self._closers.discard)

    async def drain(self, seconds: float) -> None:
        """Wait for sessions to be ended, but no longer than that."""
        if self._closers:
            await asyncio.wait(self._closers, timeout=seconds)

    async def stop(self) -> None:
        """End what is under way; the server is left as it is."""
        await self.calls.stop()
        await self.openings.stop()
        tasks = [*self._stepping, *self._closers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()

    async def _once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]], deadline: float) -> None:
        """Do a step that all sessions need, once for all who ask for it."""
        while True:
            task = self._steps.get(name)
            if task is None:
                task = self._steps[name] = asyncio.get_running_loop().create_task(work())
                self._stepping.add(task)
                task.add_done_callback(self._stepping.discard)
            done, _ = await asyncio.wait([task], timeout=max(0.0, deadline - time.monotonic()))
            if not done or task.cancelled():
                raise Exhausted("infra_error", f"{self.url} was not ready in time")
            error = task.exception()
            if isinstance(error, Trouble) and self._steps.get(name) is task:
                del self._steps[name]
            if not isinstance(error, Exhausted):
                break
        if error is not None:
            raise error

    async def _verify(self) -> None:
        async def ask() -> Any:
            return await self.exchange("GET", "/v1/capabilities", None, object)

        told = await self.insist(ask, time.monotonic() + self.settings.patience)
        check(self.url, self.settings.isolation, told, self.settings.limits, self.settings.variant)

    async def _put(self, environment: str) -> None:
        bundle = self._bundles[environment]

        async def ask() -> Any:
            return await self.exchange("PUT", f"/v1/envs/{environment}", (bundle, JSON), object)

        self.metrics.add("environments_sent")
        await self.insist(ask, time.monotonic() + self.settings.patience)

    async def _send_calls(self, entries: list[tuple[str, Sequence[Call]]]) -> list[list[CallAnswer]]:
        """Send a batch of (session, calls); what is refused as a whole is sent in halves, so that one call harms no other."""
        calls = [(name, call) for name, some in entries for call in some]
        content = content_of(self._preferred, [call.arguments for _, call in calls])

        async def ask() -> list[CallAnswer]:
            body = encode({"calls": self._call_requests(calls, content)}, content), content
            answers = (await self.exchange("POST", "/v1/calls", body, CallAnswers)).results
            return counted(answers, len(calls), self.url)

        try:
            answers = iter(await self.insist(ask, max(call.deadline for _, call in calls), wait=True))
        except Refused as refused:
            if len(entries) > 1:
                half = len(entries) // 2
                return [*await self._send_calls(entries[:half]), *await self._send_calls(entries[half:])]
            if len(calls) > 1:
                raise
            return [[CallAnswer(error=refused.code, message=str(refused))]]
        return [[next(answers) for _ in some] for _, some in entries]

    def _call_requests(self, calls: Sequence[tuple[str, Call]], content: str) -> list[CallRequest]:
        now = time.monotonic()
        for _, call in calls:
            if not call.sent:
                call.sent = True
                self.metrics.timed("queue", now - call.asked)
        return [
            CallRequest(name, call.seq, call.tool, call.arguments.raw(content), max(1, int(1000 * (call.deadline - now))))
            for name, call in calls
        ]

    async def _send_openings(self, openings: list[Opening]) -> list[SessionAnswer]:
        content = content_of(self._preferred, [entry[1] for opening in openings for entry in opening.log])
        lease = int(1000 * self.settings.lease)
        requests = [
            SessionRequest(
                one.name,
                one.environment,
                one.seed,
                lease,
                [(tool, given.raw(content), outcome, text) for tool, given, outcome, text in one.log],
                self.settings.variant,
            )
            for one in openings
        ]
        body = encode({"sessions": requests}, content), content

        async def ask() -> list[SessionAnswer]:
            return counted((await self.exchange("POST", "/v1/sessions", body, SessionAnswers)).sessions, len(openings), self.url)

        try:
            return await self.insist(ask, max(opening.deadline for opening in openings))
        except Refused as refused:
            if len(openings) > 1:
                half = len(openings) // 2
                return [*await self._send_openings(openings[:half]), *await self._send_openings(openings[half:])]
            return [SessionAnswer(error=refused.code, message=str(refused))]

    async def _close(self) -> None:
        while self._ended and not self.down:
            name = self._ended.popleft()
            try:
                await self.exchange("DELETE", f"/v1/sessions/{name}", None, object)
            except Trouble:
                self.metrics.add("sessions_left_to_lease")


def counted(answers: list[Answer], number: int, url: str) -> list[Answer]:
    """Return the answers; NoAnswer when they are not as many as were asked for."""
    if len(answers) != number:
        raise NoAnswer(f"{url} gave {len(answers)} answers to {number} questions")
    return answers
