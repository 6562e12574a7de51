"""An MCP server as a child process: started, spoken to line by line, and surely ended (SPEC 1).

Used instead of the library's own stdio transport because a refusal has to say why: what the server printed that was no
message, how it exited, what it last wrote to stderr. The process gets a group of its own, which is killed at the end,
and none of this process's environment but what a program needs to run: credentials never reach a tool server.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import shutil
import signal
import sys
import sysconfig
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import anyio
import mcp_types
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

LINE_BYTES = 16 * 2**20
"""Longest message of a server, bytes."""
GARBAGE_LINES = 20
"""Lines that are no message before a server that never sent one is given up."""
GRACE_SECONDS = 1.0
"""Time to end by itself after its stdin was closed."""
_TAIL_LINES = 8
_POLL_SECONDS = 0.01


def resolve(program: str) -> str | None:
    """Return the program's path: beside the running interpreter first (its pinned version), then on PATH."""
    return shutil.which(program, path=sysconfig.get_path("scripts")) or shutil.which(program)


class ServerProcess:
    """One running server. ``incoming`` and ``outgoing`` are the streams that an MCP session takes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._sink, self.incoming = anyio.create_memory_object_stream[SessionMessage | Exception](64)
        self.outgoing, self._source = anyio.create_memory_object_stream[SessionMessage](64)
        self._stderr: deque[str] = deque(maxlen=_TAIL_LINES)
        self.garbage: list[str] = []
        self.babbles = False
        self.messages = 0
        self._tasks = [asyncio.create_task(work) for work in (self._read(), self._write(), self._read_stderr())]

    @classmethod
    async def start(cls, command: Sequence[str], cwd: Path) -> "ServerProcess":
        """Start a command whose first word is a path; raises OSError when the system cannot."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            cwd=cwd,
            env=get_default_environment(),
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
        return cls(process)

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def ended(self, seconds: float) -> bool:
        """Wait for the exit at most that long.

        Looks at the exit code again and again: ``Process.wait`` also waits until every pipe is closed, and a grandchild may hold one.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self._process.returncode is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        return self._process.returncode is not None

    def stderr_tail(self) -> str:
        """Return the last non-empty line that it wrote to stderr, '' if there is none."""
        return next((line for line in reversed(self._stderr) if line.strip()), "").strip()

    async def stop(self) -> None:
        """Close stdin, give it a moment, then kill the whole group; every stream and task of this object ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self.ended(GRACE_SECONDS)
        self._kill()
        await self.ended(GRACE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined]  # the public way waits for pipes that others may hold
        for stream in (self._sink, self.incoming, self.outgoing, self._source):
            stream.close()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _give_up(self) -> None:
        """End a server that speaks something else than MCP; going on reading it would only fill memory."""
        self.babbles = True
        self._kill()

    async def _read(self) -> None:
        """Feed messages to the session until the server closes its stdout or prints nothing but garbage."""
        assert self._process.stdout is not None
        with self._sink, contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while line := await self._line():
                try:
                    message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValidationError:
                    if line.strip() and self._reject(line):
                        self._give_up()
                        return
                    continue
                self.messages += 1
                await self._sink.send(SessionMessage(message))

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readline()
        except ValueError:  # what asyncio raises for a line beyond the limit
            self.garbage.append(f"a line of more than {LINE_BYTES} bytes")
            self._give_up()
            return b""

    def _reject(self, line: bytes) -> bool:
        """Keep a line that is no message for the error; true when there were too many and no message at all."""
        self.garbage.append(line.decode(errors="replace").strip())
        return self.messages == 0 and len(self.garbage) >= GARBAGE_LINES

    async def _write(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            async for item in self._source:
                data = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(data.encode() + b"\n")
                await self._process.stdin.drain()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._stderr.extend(chunk.decode(errors="replace").splitlines())


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> "functools.partial[object]":
    """Return what makes the child die with this process, even when that is killed outright (PR_SET_PDEATHSIG is 1)."""
    return functools.partial(_libc().prctl, 1, signal.SIGKILL)
