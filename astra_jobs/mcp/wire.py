"""From a line that a tool server printed to JSON-RPC messages, tolerantly (SPEC 1: one bad item never stops the others).

JSON text that cannot be kept in a record (NaN, numbers beyond a double, half a surrogate pair, bytes that are no UTF-8, nesting
without end) is not refused here: the whole page would go with it. It is read into values that ``flaw`` finds again, so
that whoever takes a page apart can drop the one tool that holds them.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

DEEPEST = 100
"""Levels of nesting that one document may have; records are read with a limit of 200."""
_PRUNED = 200
_TOO_DEEP = "\udcff nested too deep"
_DIGITS = 400
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")

Message = dict[str, Any]


class NotJson(Exception):
    """A line that holds no JSON; ``meant`` tells that it was meant as a message, so waiting for another would be in vain."""

    def __init__(self, problem: str, meant: bool) -> None:
        super().__init__(problem)
        self.meant = meant


def parse(line: bytes) -> Any:
    """Return the JSON value of a line, a byte-order mark and control characters in texts forgiven; raise NotJson."""
    meant = b"jsonrpc" in line.replace(b"\0", b"")
    if b"\0" in line:
        raise NotJson("is no UTF-8 (it has zero bytes, as UTF-16 has)", meant)
    text = line.decode("utf-8", "surrogateescape").lstrip("\ufeff \t\r\n")
    try:
        return _load(text)
    except RecursionError:
        return _load(_pruned(text))
    except ValueError as error:
        raise NotJson(f"is no JSON ({error})", meant) from None


def _load(text: str) -> Any:
    return json.loads(text, parse_int=_integer, strict=False)


def _integer(digits: str) -> int | float:
    """Return an integer; one of so many digits that no double can hold it counts as infinite, like 1e400."""
    return int(digits) if len(digits) <= _DIGITS else math.copysign(math.inf, -1 if digits.startswith("-") else 1)


def _pruned(text: str) -> str:
    """Return JSON text in which what is nested beyond ``_PRUNED`` levels is replaced by a mark."""
    kept: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == _PRUNED + 1:
                kept += [text[start : token.start()], json.dumps(_TOO_DEEP)]
        elif token[0] in ("]", "}"):
            depth -= 1
            if depth == _PRUNED:
                start = token.end()
    return "".join(kept) + (text[start:] if depth <= _PRUNED else "")


def messages(line: bytes) -> list[Message]:
    """Return the messages of a line (several in a batch); raise NotJson for what is none, a log line for example."""
    value = parse(line)
    found = value if isinstance(value, list) else [value]
    if not found or not all(map(_is_message, found)):
        raise NotJson("is no JSON-RPC message", meant=False)
    return found


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not ("jsonrpc" in value or "id" in value):
        return False
    return isinstance(value.get("method"), str) or "result" in value or "error" in value


def flaw(value: Any) -> tuple[str, str] | None:
    """Return why no record can hold a JSON value (reason code, and what stands where), or None."""
    if _sound(value):
        return None
    for path, depth, node in _walk(value):
        here = path or "the text"
        if node == _TOO_DEEP or depth > DEEPEST:
            return "TooDeep", f"{path[:80] or 'it'} is nested more than {DEEPEST} levels deep"
        if isinstance(node, str) and _SURROGATE.search(node):
            return "BadText", f"{here} is {quoted(node)}: half a surrogate pair, or bytes that are no UTF-8"
        if isinstance(node, float) and not math.isfinite(node):
            return "NotFinite", f"{here} is {json.dumps(node)}: NaN, or a number beyond the range of a double"
    return None


def _sound(value: Any) -> bool:
    """Tell quickly that a value has no flaw; False only says that it has to be looked at."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return False
    return text.count("{") + text.count("[") <= DEEPEST


def _walk(value: Any) -> Iterator[tuple[str, int, Any]]:
    """Yield (path, depth, node) for every value and key inside a JSON value, in its order, without recursion."""
    todo: list[tuple[str, int, Any]] = [("", 0, value)]
    while todo:
        path, depth, node = todo.pop()
        yield path, depth, node
        if depth > DEEPEST:
            continue
        if isinstance(node, dict):
            for key in node:
                yield f"a key of {path or 'it'}", depth, key
            todo += [(f"{path}.{safe(key)}".removeprefix("."), depth + 1, item) for key, item in reversed(node.items())]
        elif isinstance(node, list):
            todo += [(f"{path}[{index}]", depth + 1, item) for index, item in reversed(list(enumerate(node)))]


def safe(text: str) -> str:
    """Return text that can be written as UTF-8: what cannot is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def quoted(value: Any, longest: int = 80) -> str:
    """Return a value as JSON in one line, cut, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = safe(" ".join(text.split()))
    return text if len(text) <= longest else text[: longest - 1] + "…"
