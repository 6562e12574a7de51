"""What a plain scalar of a YAML file is to kubectl: neither YAML 1.1 nor 1.2, but what its Go library makes of it.

Numbers are those of YAML 1.2 (``5e-6`` is one) with Go's octals (``012``) and underscores; truth values are those of 1.1
(``off``, ``y``). Whoever reads or writes YAML here uses this table, so that kubectl and the laptop see the same document.
"""

import re
from typing import Any

from ruamel.yaml.resolver import VersionedResolver

CORE = "tag:yaml.org,2002:"
TRUE = ("y", "yes", "true", "on")
_PATTERNS = {
    "bool": r"[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
    "int": r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]*|0[bB][01_]+|[1-9][0-9_]*)",
    "float": r"[-+]?(\.[0-9_]*[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_TABLE = [(CORE + kind, re.compile(f"(?:{pattern})\\Z")) for kind, pattern in _PATTERNS.items()]


class _Patterns(dict[str | None, list[tuple[str, re.Pattern[str]]]]):
    """All patterns for any first character; ruamel also asks for None and adds what it gets."""

    def get(self, first: str | None, default: Any = None) -> Any:
        return [] if first is None else list(_TABLE)


class KubectlResolver(VersionedResolver):
    """Gives plain scalars their tags; the first pattern that matches counts."""

    @property
    def versioned_resolver(self) -> Any:
        """The patterns, whatever version a file claims."""
        return _Patterns()
