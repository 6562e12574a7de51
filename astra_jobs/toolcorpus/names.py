"""Function names for tools of any name (SPEC 1, "names"): a mapping without collisions that no order of the tools changes.

A name that chat interfaces take stays. Of any other name the readable part is kept and a hash of the whole name added,
so that ``a.b``, ``a b`` and ``a_b`` stay apart, and so do names in scripts of which nothing readable is left.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Function names that chat interfaces take."""
_LONGEST = 64
_HASHED = 8
"""Digits of the hash; more where two names of one server would share them."""


def function_names(names: Iterable[str]) -> dict[str, str]:
    """Return the function name of each of a server's tool names.

    Names that are no text (empty, half a surrogate pair) get none, nor does one whose every mapping another tool has taken.
    """
    given = {name for name in names if name and not any("\ud800" <= char <= "\udfff" for char in name)}
    found = {name: name for name in given if NAME.fullmatch(name)}
    lossy = sorted(given - set(found))
    mapped: dict[str, str] = {}
    for digits in range(_HASHED, _LONGEST, 8):
        mapped = {name: _mapped(name, digits) for name in lossy}
        if len(set(mapped.values()) | set(found.values())) == len(given):
            break
    uses = Counter([*mapped.values(), *found.values()])
    return found | {name: function for name, function in mapped.items() if uses[function] == 1}


def _mapped(name: str, digits: int) -> str:
    """Return the letters and digits of a name that ASCII has, and the beginning of its hash."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[: _LONGEST - digits - 1].rstrip("_-")
    return f"{readable or 'tool'[: _LONGEST - digits - 1]}_{hashlib.sha256(name.encode()).hexdigest()[:digits]}"
