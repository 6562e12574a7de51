"""What a failed program wrote to stderr → the one line that tells why (SPEC 1: the real cause, not the last line of a trace)."""

import re
from collections import deque
from collections.abc import Sequence

_HEAD, _TAIL = 50, 200
_LONGEST_LINE = 2000
_CONTINUED = 3
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_GROUP = re.compile(r"^(?:\s*[|+]-?[-+ ]*)+\s?")
"""The rails that Python draws beside the exceptions of a group."""
_NOISE = re.compile(
    r"""^\s*(?:$|[\^~]+\s*$|at\s|File\s"|\.\.\.\s|\[?cause\]?:|[{}\])]+[,;]?$|Node\.js\sv|Bun\sv|npm\s(?:notice|warn|WARN)|note:|goroutine\s
    |exit\sstatus|stack\sbacktrace|Require\sstack
    |requireStack|code:\s'|throw\s|Traceback\s\(|[-=*#_+|.\s]+$|During\shandling|The\sabove\sexception
    |npm\s(?:error|ERR!)(?:\s*\d*\s*$|\s+(?:code|errno|syscall|path|dest|command|signal)\b|\s.*complete\slog)|\[eval\]:|\S+:\d+(?::\d+)?$)""",
    re.VERBOSE,
)
_EXCEPTION = re.compile(
    r"""^(?:Uncaught\s|Unhandled\sexception[.:]\s|Exception\sin\sthread\s"[^"]*"\s|Caused\sby:\s|error:\sUncaught\s(?:\(in\spromise\)\s)?)?
    (?:[A-Za-z_$][\w$]*[.:]{1,2})*[A-Z][\w$]*(?:Error|Exception|Exit|Interrupt|Warning|Group)(?:\s\[[A-Z0-9_]+\]|\s\([^)]*\))?:?(?:(?<=:)\s|$)
    |^(?:Error|error|fatal|FATAL|panic|Fatal\serror|PHP\sFatal\serror)(?:\s\[[A-Z0-9_]+\])?:\s\S|^thread\s'.*'.*panicked\sat""",
    re.VERBOSE,
)
_INNER = re.compile(r"^\s+(?:\[cause\]:\s)?(?:[A-Z]\w*)?(?:Error|Exception)(?:\s\[[A-Z0-9_]+\])?:\s\S")
_WARNING = re.compile(r"\b\w*Warning\b|^\s*(?:warn|WARN|info|INFO|debug|DEBUG)\b")
_TELLING = re.compile(
    r"error|fatal|panic|exception|fail|missing|required?\b|not set|not found|cannot|can't|could not|unable|denied|invalid|refused|"
    r"unauthori|forbidden|no such|unknown|must\b|expected|usage:|please|environment variable",
    re.IGNORECASE,
)


class Lines:
    """The head and the end of a stream of bytes, as lines; what lies between is forgotten."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Add what was read; a line may come in parts."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:_LONGEST_LINE]
        for line in lines:
            last = line.rstrip(b"\r").rsplit(b"\r", 1)[-1]  # what a terminal would show of it in the end
            text = last[:_LONGEST_LINE].decode(errors="replace")
            if len(self._head) < _HEAD:
                self._head.append(text)
            else:
                self._tail.append(text)

    def all(self) -> list[str]:
        """Return the lines that are kept, an unfinished last one included."""
        rest = [self._rest.decode(errors="replace")] if self._rest else []
        return [*self._head, *self._tail, *rest]


def cause_of(lines: Sequence[str]) -> str:
    """Return the most telling words of what a program printed, in one line; '' when it printed nothing.

    The last exception of a trace with the lines of its message, else the last lines that speak of a failure, else the last ones.
    """
    clean = [_GROUP.sub("", line) if _GROUP.match(line) else line for line in (_COLOURS.sub("", line) for line in lines)]
    raised = [index for index, line in enumerate(clean) if _EXCEPTION.match(line) and not _WARNING.match(line)]
    if raised:
        return _joined(_message(clean, raised[-1]))
    said = [line for line in clean if not _NOISE.match(line)]
    telling = [line for line in said if _TELLING.search(line) and not _WARNING.search(line)]
    return _joined(telling[-2:] or said[-2:] or [line for line in clean if line.strip()][-1:])


def _message(lines: Sequence[str], first: int) -> list[str]:
    """Return the line that names an exception and those that go on with its message, up to the trace."""
    found = [lines[first]]
    for line in lines[first + 1 : first + 1 + _CONTINUED]:
        if _NOISE.match(line):
            break
        found.append(line)
    if _joined(found).endswith(":"):  # the message is empty, as that of several errors in one is; the first of them says more
        found += [line for line in lines[first + 1 :] if _INNER.match(line)][:1]
    return found


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())
