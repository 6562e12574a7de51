"""One session as the client sees it: its log, its results, and the process that answers while it lives.

A call that hits a limit ends the process and leaves no trace in the session: the next call finds a fresh process that
replayed the log. The same replay mends a process or a zygote that died, once a call; what dies again is reported as
``session_lost``. A replay that gives another result than the log holds is ``session_lost`` too, never a guess.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from astra_jobs.api.base import canonical
from astra_jobs.sandbox.arguments import Arguments
from astra_jobs.sandbox.frames import LENGTH, frame
from astra_jobs.sandbox.link import Link, ZygoteGone
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, SequenceConflict, ToolCode

LIMITS = frozenset({"limit_time", "limit_memory", "limit_output"})
CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGXFSZ, signal.SIGSYS})
CPU_SIGNALS = frozenset({signal.SIGPROF, signal.SIGXCPU})

WINDOWS = 20
"""Half wall limits that a call may take while its process waits for a CPU."""


class Lost(Exception):
    """The session's process, or its zygote, ended for a reason that is not the tool's."""


class Starved(Exception):
    """The wall limit came while the process was waiting for a CPU."""


def failure(outcome: Any, message: str, cpu: float = 0.0) -> CallResult:
    """Return the result of a call that gave no value; its text is the message."""
    return CallResult(outcome=outcome, text=message, cpu_seconds=cpu)


@dataclass(frozen=True)
class Bundle:
    """A registered environment: digest, sources and argument checks by tool."""

    digest: str
    sources: dict[str, str]
    checks: dict[str, Arguments]


def bundle(digest: str, tools: list[ToolCode]) -> Bundle:
    """Prepare an environment for its sessions."""
    return Bundle(digest, {tool.name: tool.code for tool in tools}, {tool.name: Arguments(tool.parameters) for tool in tools})


def wall_limit(limits: SandboxLimits) -> float:
    """Return the wall seconds after which a call that spent little CPU is looked at."""
    return 1.0 + 5.0 * limits.seconds


def run_delay(pid: int) -> tuple[float, str] | None:
    """Return the seconds a process has waited for a CPU so far, and its state; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            delay = int(file.read().split()[1]) / 1e9
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return delay, file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError, ValueError):
        return None


class Process:
    """A live session process and this end of its socket."""

    def __init__(self, link: Link, number: int, connection: socket.socket, ended: "asyncio.Future[int | None]") -> None:
        self.link = link
        self.number = number
        self.connection = connection
        self.ended = ended
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def start(cls, link: Link, number: int, bundle: Bundle, seed: int) -> "Process":
        """Fork a process and tell it which tools to serve; it need not answer before the first call."""
        process = cls(link, number, *await link.spawn(number))
        start = {"tools": bundle.sources, "seed": f"{bundle.digest}/{seed}"}
        try:
            await process.loop.sock_sendall(process.connection, frame(json.dumps(start).encode()))
        except BaseException as error:
            await process.end(kill=True)
            if isinstance(error, OSError):
                raise Lost("the session's process did not take its tools") from None
            raise
        return process

    async def end(self, *, kill: bool) -> None:
        """Close the socket, at which an idle process leaves; kill one that may be busy."""
        self.connection.close()
        if kill:
            await self.link.kill(self.number)

    async def calls(self, requests: Sequence[dict[str, Any]], limits: SandboxLimits) -> AsyncGenerator[CallResult, None]:
        """Send requests at once and yield each result; Lost when the process ended, Starved when it never got its CPU time.

        A result that met a limit is the last one: what the process did after it is not to be used.
        """
        body = b"".join(frame(json.dumps(request).encode()) for request in requests)
        sending = asyncio.ensure_future(self._send(body))
        try:
            for request in requests:
                result = await self._answer(request["seq"], limits)
                yield result
                if result.outcome in LIMITS:
                    return
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _answer(self, seq: int, limits: SandboxLimits) -> CallResult:
        if self._whole_reply():  # came along with an earlier one: nothing to wait for
            reply = await self._reply(16 * limits.output_chars + 4096)
            return self._result(reply, seq) if reply is not None else await self._death(limits)
        answer = asyncio.ensure_future(self._reply(16 * limits.output_chars + 4096))
        try:
            if not await self._wait(answer, limits):
                return failure("limit_time", f"the call was blocked for {wall_limit(limits):g} s")
            reply = answer.result()
        finally:
            if not answer.done():
                answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)
        return self._result(reply, seq) if reply is not None else await self._death(limits)

    async def _wait(self, answer: "asyncio.Future[Any]", limits: SandboxLimits) -> bool:
        """Wait for an answer; False when the process was blocked at the wall limit, Starved when it went on not being run.

        A process that waits for a CPU gets more time, because nothing is wrong with it; at last the call is given up.
        """
        window = wall_limit(limits) / 2
        if (await asyncio.wait([answer], timeout=window))[0]:
            return True
        before = run_delay(self.link.pids.get(self.number, 0))
        for _ in range(WINDOWS):
            if (await asyncio.wait([answer], timeout=window))[0]:
                return True
            after = run_delay(self.link.pids.get(self.number, 0))
            if before is not None and after is not None and after[1] != "R" and after[0] - before[0] < window / 4:
                return False
            before = after
        raise Starved

    async def _send(self, body: bytes) -> None:
        with contextlib.suppress(OSError):  # a process that went away shows at the reply
            await self.loop.sock_sendall(self.connection, body)

    async def _reply(self, most: int) -> dict[str, Any] | None:
        """Read one reply; None when the process has gone or does not speak the protocol."""
        try:
            length = LENGTH.unpack(await self._read(LENGTH.size))[0]
            reply = json.loads(await self._read(length)) if length <= most else None
        except (OSError, EOFError, ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    def _whole_reply(self) -> bool:
        length = LENGTH.size
        return len(self.buffer) >= length and len(self.buffer) - length >= LENGTH.unpack(self.buffer[:length])[0]

    async def _read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            part = await self.loop.sock_recv(self.connection, 1 << 16)
            if not part:
                raise EOFError
            self.buffer += part
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _result(self, reply: dict[str, Any], seq: int) -> CallResult:
        outcome, cpu = reply.get("outcome"), reply.get("cpu")
        if reply.get("seq") != seq or not isinstance(cpu, int | float):
            raise Lost("the session answered another call")
        if outcome == "ok":
            text = str(reply.get("value"))
            return CallResult(outcome="ok", value=json.loads(text), text=text, cpu_seconds=float(cpu))
        if outcome not in ("tool_error", "limit_memory", "limit_output"):
            raise Lost("the session answered with an unknown outcome")
        return failure(outcome, str(reply.get("error")), float(cpu))

    async def _death(self, limits: SandboxLimits) -> CallResult:
        """Name the outcome of a call whose process ended, by how it ended."""
        self.connection.close()
        await self.link.kill(self.number)  # a process that closed its socket and lives on is ended here
        status = await asyncio.shield(self.ended)
        if status is None:
            raise Lost("the zygote died")
        if os.WIFSIGNALED(status):
            by = os.WTERMSIG(status)
            if by in CPU_SIGNALS:
                return failure("limit_time", f"the call used more than {limits.seconds:g} s of CPU", limits.seconds)
            if by in CRASHES:
                return failure("tool_error", f"the tool crashed its process (signal {by})")
            raise Lost(f"the session's process was killed (signal {by})")
        return failure("tool_error", "the tool ended its process")


@dataclass
class Session:
    """A session's seed, log and results; ``process`` is None until a call needs one."""

    id: str
    bundle: Bundle
    seed: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: Process | None = None
    log: list[tuple[dict[str, Any], CallResult]] = field(default_factory=list)
    results: dict[int, tuple[str, CallResult]] = field(default_factory=dict)
    closed: bool = False

    def known(self, seq: int, payload: str) -> CallResult | None:
        """Return the result that a call number has already; raise SequenceConflict when it was another call's."""
        if seq not in self.results:
            return None
        before, result = self.results[seq]
        if before != payload:
            raise SequenceConflict(f"session {self.id}: call {seq} was made before with another tool or other arguments")
        return result

    def refused(self, tool: str, arguments: dict[str, Any]) -> CallResult | None:
        """Return the result of a call that no process needs to see."""
        if tool not in self.bundle.checks:
            return failure("unknown_tool", f"unknown tool {tool}")
        fault = self.bundle.checks[tool].fault(arguments)
        return failure("invalid_args", fault) if fault else None

    async def drop(self, *, kill: bool) -> None:
        """End the process; the next call starts another and replays the log."""
        process, self.process = self.process, None
        if process is not None:
            await process.end(kill=kill)

    async def replay(self, limits: SandboxLimits) -> None:
        """Bring a fresh process to the state that the log describes."""
        assert self.process is not None
        async with contextlib.aclosing(self.process.calls([request for request, _ in self.log], limits)) as results:
            for _, expected in self.log:
                again = await anext(results)
                if (again.outcome, again.text) != (expected.outcome, expected.text):
                    raise Lost("a replayed call gave another result; the tool does not repeat itself")

    def record(self, request: dict[str, Any], result: CallResult) -> None:
        """Add a call that may have changed the session's state to the log."""
        if result.outcome in ("ok", "tool_error"):
            self.log.append((request, result))


def payload_of(tool: str, arguments: dict[str, Any]) -> str | None:
    """Return the text by which a repeated call is recognised; None for arguments that are not JSON."""
    try:
        return canonical([tool, arguments]).decode()
    except (ValueError, TypeError, RecursionError):
        return None


__all__ = ["LIMITS", "Bundle", "Lost", "Process", "Session", "Starved", "ZygoteGone", "bundle", "failure", "payload_of"]
