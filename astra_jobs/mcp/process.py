"""An MCP server as a child process: started, spoken to line by line, and surely ended (SPEC 1).

Used instead of the library's own stdio transport because a refusal has to say why: what the server printed that was no
message, how it exited, what it wrote to stderr. The process gets a session of its own and none of this process's environment
but what a program needs to run and what its source names: no other credential ever reaches a tool server.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import secrets
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mcp.client.stdio import get_default_environment

from astra_jobs.mcp.stderr import Lines

LINE_BYTES = 32 * 2**20
"""Longest message of a server, bytes: ten thousand tools in one page."""
UNREAD_BYTES = 2**20
"""Most that may wait for a server which does not read its stdin, bytes."""
GRACE_SECONDS = 1.0
"""Time to end by itself after its stdin was closed, and again after SIGTERM."""
_MARK = "ASTRA_TOOL_SERVER"
_POLL_SECONDS = 0.01


class Overlong(Exception):
    """A line beyond the limit."""


def resolve(program: str, folder: Path) -> str | None:
    """Return the program's path: one with a slash from ``folder``, else beside the interpreter (its pinned version), then on PATH."""
    if os.sep in program:
        return shutil.which(str(folder / program))
    return shutil.which(program, path=sysconfig.get_path("scripts")) or shutil.which(program)


class ServerProcess:
    """One running server."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        self._process = process
        self._mark = mark
        self.stderr = Lines()
        self._listening = asyncio.create_task(self._read_stderr())

    @classmethod
    async def start(cls, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> "ServerProcess":
        """Start a command whose first word is a path, in ``folder``; raises OSError or ValueError when the system cannot.

        Of this process's environment it gets what the library takes for harmless (PATH, HOME, USER, SHELL, TERM), and ``variables``.
        """
        mark = secrets.token_hex(16)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            cwd=folder,
            env={**get_default_environment(), **variables, _MARK: mark},
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
        return cls(process, mark)

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

    async def line(self) -> bytes:
        """Return the next line of stdout, b'' at its end; raises Overlong."""
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readline()
        except ValueError:  # what asyncio raises for a line beyond the limit
            raise Overlong from None

    def write(self, line: bytes) -> bool:
        """Send a line without waiting; False when the server has left too much unread."""
        assert self._process.stdin is not None
        if self._process.stdin.transport.get_write_buffer_size() > UNREAD_BYTES:
            return False
        self._process.stdin.write(line)
        return True

    async def last_words(self, seconds: float) -> list[str]:
        """Return the lines of stderr; waits a moment for the end of them, which an ended program may still have in the pipe."""
        await asyncio.wait({self._listening}, timeout=seconds)
        return self.stderr.all()

    async def stop(self) -> None:
        """Close stdin, then SIGTERM, then SIGKILL to the whole group and to whatever has left it; nothing of the server stays."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not await self.ended(GRACE_SECONDS):
            self._signal(signal.SIGTERM)
            await self.ended(GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        await self.ended(GRACE_SECONDS)
        for pid in _marked(self._mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined]  # the public way waits for pipes that others may hold

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self.stderr.feed(chunk)


def _marked(mark: str) -> Iterator[int]:
    """Yield the processes that a server has started, in whatever session they hide, by the mark in their environment."""
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> "functools.partial[object]":
    """Return what makes the child die with this process, even when that is killed outright (PR_SET_PDEATHSIG is 1)."""
    return functools.partial(_libc().prctl, 1, signal.SIGKILL)
