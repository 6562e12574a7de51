"""The one way in which a schema is refused."""

from typing import Literal

Reason = Literal[
    "SchemaNotAnObject",
    "SchemaInvalid",
    "SchemaTooCostly",
    "ReferenceOutside",
    "ReferenceUnresolved",
    "ReferenceEndless",
    "PatternUnsupported",
]
SHOWN = 160
"""Most characters of a document that a message repeats."""


class SchemaRefused(Exception):
    """A document that is not a schema which arguments can be checked against: a reason code and one line."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def pointer(path: tuple[str | int, ...]) -> str:
    """Return a place in a document as a JSON pointer (RFC 6901), shortened in the middle; ``#`` is the document itself."""
    text = "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return shown(text)


def shown(text: str, most: int = SHOWN) -> str:
    """Return a text on one line, shortened, with what no line can hold replaced."""
    line = " ".join(text[: 4 * most].split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-(most // 2 - 1) :]}"
