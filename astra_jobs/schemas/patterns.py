r"""Patterns of ECMA-262, judged by the library that checks values.

The library's engine takes linear time, and a bounded number of backtracking steps where a pattern looks around or refers
back. A few forms of ECMA-262 that it spells differently are translated (``[^]``, ``\0``, ``\k<name>``, surrogate
pairs). A pattern that it cannot take, or that compiles to more than its share of memory, is unusable.
"""

import functools
import re

import jsonschema_rs

BACKTRACKS = 10_000
"""Most steps back of one match; beyond it the text is refused. About 0.3 ms."""
OPTIONS = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS, size_limit=1 << 23, dfa_size_limit=1 << 21)
"""What every validator is made with."""
LONGEST = 4096
_SIZES = ((1 << 16, 1), (1 << 20, 16), (1 << 23, 128))
"""Compiled size in bytes, and what a pattern of that size counts."""
MOST_WEIGHT = 1024
"""Most that the patterns of one schema may count together."""
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_TOKEN = re.compile(r"\\k<(\w+)>|\\.|\[\^\]|\[\]|\[|\]|\((?:\?<([A-Za-z_$][\w$]*)>)?|\(", re.DOTALL)


@functools.lru_cache(maxsize=8192)
def translated(pattern: str) -> str:
    """Return a pattern as the engine writes it."""
    pattern = _PAIR.sub(_joined, pattern)
    groups = _groups(pattern)
    within = False
    pieces, end = [], 0
    for token in _TOKEN.finditer(pattern):
        text, start = token.group(), token.start()
        new = text
        if text == "[" and not within:
            within = True
        elif text == "]":
            within = False
        elif within and text == r"\b":
            new = r"\x08"
        elif text == r"\0" and not pattern[token.end() : token.end() + 1].isdigit():
            new = r"\x00"
        elif not within and text == "[^]":
            new = r"[\s\S]"
        elif not within and text == "[]":
            new = r"[^\s\S]"
        elif not within and token.group(1):
            new = f"(?:\\{groups[token.group(1)]})" if token.group(1) in groups else text
        elif within and text in ("[^]", "[]"):
            within = text.endswith("]") and False
        pieces += [pattern[end:start], new]
        end = token.end()
    return "".join([*pieces, pattern[end:]])


def _joined(pair: re.Match[str]) -> str:
    return re.escape(bytes.fromhex(pair.group(1) + pair.group(2)).decode("utf-16-be"))


def _groups(pattern: str) -> dict[str, int]:
    """Return the number of each named group."""
    found: dict[str, int] = {}
    count, within = 0, False
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if text in ("[", "]"):
            within = text == "["
        elif not within and text.startswith("("):
            named = token.group(2)
            if named or pattern[token.end() : token.end() + 1] != "?":
                count += 1
            if named:
                found.setdefault(named, count)
    return found


@functools.lru_cache(maxsize=8192)
def weight(pattern: str) -> int | None:
    """Return how much of a schema's share a pattern takes; None when it is unusable."""
    if len(pattern) > LONGEST:
        return None
    for size, counted in _SIZES:
        options = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS, size_limit=size, dfa_size_limit=1 << 21)
        if _compiles(pattern, options):
            return counted
    return None


@functools.lru_cache(maxsize=8192)
def backtracks(pattern: str) -> bool:
    """Tell whether a usable pattern needs steps back."""
    return not _compiles(pattern, jsonschema_rs.RegexOptions(size_limit=1 << 23, dfa_size_limit=1 << 21))


def _compiles(pattern: str, options: "jsonschema_rs.FancyRegexOptions | jsonschema_rs.RegexOptions") -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": translated(pattern)}, pattern_options=options, offline=True)
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True
