"""JSON-RPC with one tool server: requests are matched with answers, and whatever makes an answer impossible is said at once.

The library's session drops what it does not understand and waits on; here an answer that cannot be read, that carries another
number, or that never comes because the server has ended, fails the request with its true cause. What servers do beside
answering is taken as it comes: notifications, pings, requests for what this client does not offer, log lines on stdout.
"""

import asyncio
import itertools
import json
import signal
from typing import Any

from astra_jobs.mcp.process import LINE_BYTES, Overlong, ServerProcess
from astra_jobs.mcp.wire import Message, NotJson, messages, quoted, safe

GARBAGE_LINES = 500
"""Lines that are no message before a server that never sent one is given up."""
METHOD_NOT_FOUND = -32601
_KEPT, _SHOWN = 3, 160
_EXIT_SECONDS = 0.5


class Refused(Exception):
    """A conversation that failed: what happened, as the middle part of the one-line message."""


class Conversation:
    """Talks to a server that was started; ``close`` ends the talk, not the server."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._answered: set[str] = set()
        self._number = 0
        self._asked = ""
        self._answer: asyncio.Future[Any] | None = None
        self._broken = ""
        self._heard = 0
        self._strange = 0
        self.garbage: list[str] = []
        self.changed = asyncio.Event()
        """Set when the server says that its list of tools has changed."""
        self._reading = asyncio.create_task(self._read())

    async def ask(self, method: str, params: Message, seconds: float) -> Any:
        """Return the result of a request; raises Refused with the cause when there is none in ``seconds``."""
        if self._broken:
            raise Refused(f"{self._broken} before it answered {method}")
        self._number, self._asked = next(self._numbers), method
        self._answer = asyncio.get_running_loop().create_future()
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        try:
            async with asyncio.timeout(seconds):
                return await self._answer
        except TimeoutError:
            code = self._server.exit_code
            raise Refused(f"no answer to {method} in {seconds:g} s" + ("" if code is None else f" (it has {_exit(code)})")) from None
        finally:
            self._answer = None
            self._answered.add(str(self._number))

    def tell(self, method: str) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method})

    async def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    def _send(self, message: Message) -> None:
        if not self._server.write(json.dumps(message).encode() + b"\n"):
            self._break("does not read its stdin")

    async def _read(self) -> None:
        """Take lines until there are no more or no answer can come."""
        while not self._broken:
            try:
                line = await self._server.line()
            except Overlong:
                self._break(f"prints a line of more than {LINE_BYTES // 2**20} MiB", "instead of an answer to")
                return
            if not line:
                gone = await self._server.ended(_EXIT_SECONDS)  # the exit code may come a moment later
                code = self._server.exit_code
                self._break(_exit(code) if gone and code is not None else "closed its stdout")
            elif line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            found = messages(line)
        except NotJson as error:
            self._keep(line)
            if error.meant:
                self._fail(f"its answer to {self._asked} {error}")
            elif self._heard == 0 and self._strange >= GARBAGE_LINES:
                self._break("prints something that is no MCP", "instead of an answer to")
            return
        self._heard += len(found)
        for message in found:
            self._dispatch(message)

    def _keep(self, line: bytes) -> None:
        """Count a line that is no message; the first are shown when the server fails."""
        self._strange += 1
        if len(self.garbage) < _KEPT:
            self.garbage.append(" ".join(line[:2000].decode(errors="replace").split()))

    def _dispatch(self, message: Message) -> None:
        method = message.get("method")
        if not isinstance(method, str):
            self._answer_came(message)
        elif "id" in message:
            self._serve(method, message["id"])
        elif method == "notifications/tools/list_changed":
            self.changed.set()

    def _serve(self, method: str, number: Any) -> None:
        """Answer a server's own request: pings, and a refusal of everything else, which this client never said it could do."""
        if method == "ping":
            self._send({"jsonrpc": "2.0", "id": number, "result": {}})
        else:
            error = {"code": METHOD_NOT_FOUND, "message": "this client only lists tools"}
            self._send({"jsonrpc": "2.0", "id": number, "error": error})

    def _answer_came(self, message: Message) -> None:
        """Match an answer with the request: a number may come back as text, and an error without one is the open request's."""
        error, number = message.get("error"), message.get("id")
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if str(number) != str(self._number) and not (number is None and error is not None):
            if str(number) not in self._answered:
                self._fail(f"its answer to {self._asked} has the id {quoted(number)} instead of {self._number}")
            return
        if error is not None:
            self._fail(f"{self._asked} failed: {_error(error)}")
        elif "result" not in message:
            self._fail(f"its answer to {self._asked} has neither result nor error")
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(message["result"])

    def _fail(self, problem: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Refused(problem))

    def _break(self, problem: str, before: str = "before it answered") -> None:
        self._broken = problem
        self._fail(f"{problem} {before} {self._asked}")


def _error(error: Any) -> str:
    """Return the words of a JSON-RPC error, whatever form it has."""
    if not isinstance(error, dict):
        return quoted(error, _SHOWN)
    message, code = error.get("message"), error.get("code")
    if isinstance(message, str) and message.strip():
        return safe(" ".join(message.split()))[:_SHOWN]
    data = f", data {quoted(error['data'], _SHOWN)}" if error.get("data") is not None else ""
    return f"error {quoted(code)} without a message{data}"


def _exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
