"""Forms in which credentials are written into commands, by which a spec that holds one is refused (SPEC 1, credentials).

One pattern, written in what Go's, Rust's and Python's engines understand alike, so that the API server gives the same verdict
as the models. It looks at one word at a time. What only refers to a value (``$TOKEN``, ``${TOKEN}``) or to a file that holds it
(``--token-file``) passes. A word taken for a credential by mistake has a way out: it can be given through ``env`` as well.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from astra_jobs.api.base import digest_of

_WORD = r"(?:[a-z0-9_.-]*(?:token|secret|passw(?:or)?d|passphrase|passcode|pwd|credentials?|apikey)|(?:[a-z0-9_.-]*[_.-])?(?:api[_.-]?|access[_.-]?|auth[_.-]?|service[_.-]?|license[_.-]?|account[_.-]?|client[_.-]?|master[_.-]?|admin[_.-]?)key|(?:[a-z0-9_.-]*[_.-])?(?:pass|pat|auth|jwt|bearer)|[a-z0-9_.]*_key)"  # noqa: E501
_MORE = r"(?:[_.-]?(?:v?[0-9]+|base|value|text|string|main|prod|dev|test|live))?"
_LONG = r"[a-z0-9_.-]*(?:token|secret|passw|apikey|api[_-]key)[_.-]?[a-z0-9_.-]*=[\"']?[a-z0-9_+/=-]{4,}[0-9][a-z0-9_+/=-]{4,}"
_VALUE = r"[\"']?[^\"'\s$<>{}%=(\[]"
"""The first character of a value that is none of a reference, a placeholder and an expression."""
_FLAG = r"(?:token|secret|passw(?:or)?d|passphrase|pwd|credentials?|api[_-]?key|apikey|access[_-]?key|auth[_-]?key|secret[_-]?key|license[_-]?key|service[_-]?key|bearer)"  # noqa: E501
_HEADER = r"(?:[a-z0-9-]*(?:api-?key|-key|token|secret|password)|cookie)"
_PREFIXES = (
    r"sk-[a-z_-]*[0-9][a-z0-9_-]{2,}",
    r"(?:sk|rk|pk|whsec)_(?:live|test)_[a-z0-9]",
    r"gh[opusr]_[a-z0-9]",
    r"github_pat_[a-z0-9]",
    r"glpat-[a-z0-9_-]",
    r"xox[a-z]-[a-z0-9-]",
    r"xapp-[0-9]",
    r"a[ks]ia[a-z0-9]{12,}",
    r"aiza[a-z0-9_-]{20,}",
    r"ya29\.[a-z0-9_-]",
    r"(?:hf|npm|gsk|ntn|lin_api|dckr_pat|shpat|figd|dop_v1|tvly|pplx|nvapi|xai|r8)[_-][a-z0-9]{16,}",
    r"eyj[a-z0-9_-]{8,}\.eyj[a-z0-9_-]{4,}",
)
CREDENTIAL = (
    r"(?i)(?:"
    rf"(?:^|[\s\"'&;,({{=])-{{0,2}}{_WORD}{_MORE}={_VALUE}"  # API_TOKEN=x, --api-key=x
    rf"|^-{{0,2}}key={_VALUE}"
    rf"|(?:^|[\s\"'])-{{0,2}}{_LONG}"  # TOKEN_OF_MINE=opaque1234text
    rf"|^--?(?:[a-z0-9]+[_-])*{_FLAG}$"  # --token, and the value in the next word
    rf"|[\s\"']--?(?:[a-z0-9]+[_-])*{_FLAG}\s+{_VALUE}"  # the same inside of a shell's command
    rf"|(?:^|[\s\"'=]){_HEADER}\s*:\s*{_VALUE}"  # X-API-Key: x
    rf"|authorization\s*:\s*(?:[a-z]+\s+)?[^\s$<>{{}}%\"']+(?:$|[\"'])"  # Authorization: x, Authorization: Basic x
    rf"|\bbearer\s+{_VALUE}"
    rf"|[\"']{_WORD}{_MORE}[\"']\s*:\s*[\"'][^\"'$<>{{}}%\s]"  # JSON: "apiKey": "x"
    rf"|[?&#][a-z0-9_.-]*(?:key|token|secret|password|passwd|pwd|signature|sig|auth|credential)=[^&\s$<>{{}}%\"']"
    r"|://[^/?#\s@:\"']*:[^/?#\s@$<{\"'][^/?#\s@]*@"  # scheme://user:password@host
    r"|https?://[^/?#\s@$<{:\"']+@"  # https://token@host
    rf"|(?:^|[^a-z0-9])(?:{'|'.join(_PREFIXES)})"
    r"|-----begin[a-z ]* private key"
    r")"
)
"""Matches a word that holds a credential. ``$`` stands for the end of the text and occurs otherwise in classes only."""
REMEDY = "put the value into a Secret and name that in env as {name: VARIABLE, secret: NAME, key: KEY}"
LEAST = 4
"""Characters that a credential needs to be looked for in text: shorter ones cannot be told from ordinary words."""
_FORM = re.compile(re.sub(r"\$(?=[)|])", r"\\Z", CREDENTIAL).removeprefix("(?i)"), re.IGNORECASE | re.ASCII)
_SPOKEN = re.compile(
    rf"(\b{_WORD}{_MORE}=[\"']?|[\"']{_WORD}{_MORE}[\"']\s*:\s*[\"']|\b(?:authorization|x-api-key|cookie):\s*(?:bearer\s+|basic\s+)?"
    rf"|\bbearer\s+(?=\S*[0-9])|://[^/?#\s@:]*:(?=[^/?#\s]+@)|https?://(?=[^/?#\s@:]+@))[^\s\"'&@]+"
    rf"|(?<![a-z0-9])(?:{'|'.join(_PREFIXES)})[a-z0-9_.-]*",
    re.IGNORECASE | re.ASCII,
)


def outline(value: Any) -> Any:
    """Return JSON data in which every command is its program's name and a digest: what a person may be shown of a spec."""
    if isinstance(value, dict):
        return {name: _program(item) if name == "command" and isinstance(item, list) else outline(item) for name, item in value.items()}
    return [outline(item) for item in value] if isinstance(value, list) else value


def _program(command: list[Any]) -> list[Any]:
    return [*command[:1], f"({len(command) - 1} arguments, {digest_of(command)[:19]})"] if len(command) > 1 else command


def is_credential(word: str) -> bool:
    """Tell if a word of a command holds a credential, as far as its form shows."""
    return _FORM.search(word) is not None


def masked(text: str) -> str:
    """Return text with what has the form of a credential blotted out, for words that somebody else chose."""
    return _SPOKEN.sub(lambda found: f"{found[1] or ''}***", text)


class Scrubber:
    """Knows the values of credentials and finds them in text, as they are and as they are usually encoded."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for part in {value, *value.splitlines()} if len(part) >= LEAST for form in _forms(part)}
        self._any = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None

    def holds(self, text: str) -> bool:
        """Tell if a credential occurs in text."""
        return self._any is not None and self._any.search(text) is not None

    def clean(self, text: str) -> str:
        """Return text without them, and without whatever else looks like one."""
        return masked(self._any.sub("***", text) if self._any is not None else text)


def _forms(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    written = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    return {value, quote(value, safe=""), quote(value), quote_plus(value), *written, *([encoded] if len(encoded) >= 2 * LEAST else [])}
