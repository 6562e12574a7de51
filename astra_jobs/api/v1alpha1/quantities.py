"""Quantities of CPU and memory as Kubernetes writes them, for a field of a spec: numbers or text, one canonical form, no absurd ones.

The grammar is that of ``k8s.io/apimachinery/pkg/api/resource`` (``2``, ``0.5``, ``500m``, ``1e3``, ``+1``, ``.5``, ``2T``, ``1Ki``). One
pattern holds grammar and bounds, and both the API server and the models judge by it, so that their verdicts cannot differ: a schema with
``x-kubernetes-int-or-string`` would refuse ``0.5`` without quotes, which every pod may say. The bounds are by decades (a binary suffix
counts as its decimal neighbour): a pod has less than a million cores, and from a million bytes to a petabyte of memory.

The canonical form is what is frozen and written to pods: CPU in whole cores or whole thousandths, memory in whole bytes with the suffix
that makes it shortest. What is finer is rounded up, as Kubernetes does. So 2, "2" and "2000m" are one wish, and 1024Mi is 1Gi.
"""

import re
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_NUMBER = r"([0-9]+[.]?[0-9]*|[.][0-9]+)"
GRAMMAR = rf"^[+]?{_NUMBER}([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
"""Every quantity that is not negative."""
LONGEST = 40
_PARTS = re.compile(rf"[+]?({_NUMBER})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_EXACT = Context(prec=200, Emin=-10_000, Emax=10_000)


class _Row(NamedTuple):
    """How many digits a number with a suffix may have before its point; with ``zeros``, it may begin behind the point, after so many."""

    suffix: str
    least: int
    most: int
    zeros: str = ""


# Every row of one table keeps within the same bounds.
_CPU = (
    _Row("([eE]-[0-9]+)?", 0, 6, "*"),
    _Row("m", 0, 9, "*"),
    _Row("u", 0, 12, "*"),
    _Row("n", 0, 15, "*"),
    _Row("(k|Ki|[eE][+]?0*[0-3])", 0, 3, "*"),
)
_MEMORY = (
    _Row("([eE][+]?0+)?", 7, 15),
    _Row("m", 10, 18),
    _Row("[eE][+]?0*[12]", 6, 13),
    _Row("(k|Ki|[eE][+]?0*3)", 4, 12),
    _Row("[eE][+]?0*[45]", 3, 10),
    _Row("(M|Mi|[eE][+]?0*6)", 1, 9),
    _Row("[eE][+]?0*[78]", 1, 7),
    _Row("(G|Gi|[eE][+]?0*9)", 0, 6, "{0,2}"),
    _Row("[eE][+]?0*1[01]", 1, 4),
    _Row("(T|Ti|[eE][+]?0*12)", 0, 3, "{0,5}"),
)


def _pattern(rows: tuple[_Row, ...]) -> str:
    def one(row: _Row) -> str:
        whole = f"[1-9][0-9]{{{max(row.least - 1, 0)},{row.most - 1}}}([.][0-9]*)?"
        return (f"({whole}|[.]0{row.zeros}[1-9][0-9]*)" if row.zeros else whole) + row.suffix

    return f"^[+]?0*({'|'.join(map(one, rows))})$"


class Measure(NamedTuple):
    """One kind of quantity: its pattern for text, its bounds for numbers (above or at ``least``, below ``most``), and both in words."""

    name: str
    pattern: str
    least: int
    most: int
    words: str


CPU = Measure("cpu", _pattern(_CPU), 0, 10**6, "more than 0 and less than a million cores, for example 2, 0.5 or 500m")
MEMORY = Measure("memory", _pattern(_MEMORY), 10**6, 10**15, "at least 1M and less than 1P, for example 2Gi, 512Mi or 1.5G")


def parse(text: str) -> Decimal:
    """Read any quantity that is not negative, in its base unit (cores, bytes); raises ``ValueError``."""
    found = _PARTS.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise ValueError(f"{text!r} is no quantity of Kubernetes")
    digits, suffix = Decimal(found[1]), found[3] or ""
    with localcontext(_EXACT):
        if suffix in _BINARY:
            return digits * Decimal(2) ** _BINARY[suffix]
        power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
        if abs(power) > 1000:
            raise ValueError(f"{text!r} is no quantity of Kubernetes that fits into a machine")
        return digits.scaleb(power)


def canonical_cpu(cores: Decimal) -> str:
    """Return cores as whole ones or as whole thousandths, rounded up."""
    thousandths = _whole(cores * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def canonical_memory(size: Decimal) -> str:
    """Return bytes with the suffix that makes the shortest text, a binary one where two are as short; rounded up to a whole byte."""
    count = _whole(size)
    forms = [f"{count >> power}{suffix}" for suffix, power in _BINARY.items() if count % (1 << power) == 0]
    forms += [f"{count // 10**power}{suffix}" for suffix, power in _DECIMAL.items() if power >= 0 and count % 10**power == 0]
    return min(forms, key=len)


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING, _EXACT))


def _read(kind: Measure, value: Any) -> str:
    wanted = f"{kind.name} must be a number or text in Kubernetes' form, {kind.words}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(wanted)
    if isinstance(value, str):
        if len(value) > LONGEST or re.fullmatch(kind.pattern.removesuffix("$"), value) is None:
            raise ValueError(wanted)
        amount = parse(value)
    else:
        if not (kind.least <= value < kind.most and value > 0):
            raise ValueError(wanted)
        amount = Decimal(repr(value))
    with localcontext(_EXACT):
        return canonical_cpu(amount) if kind is CPU else canonical_memory(amount)


def _schema(kind: Measure) -> dict[str, Any]:
    low = {"minimum": kind.least} if kind.least else {"exclusiveMinimum": 0}
    number = {"type": "number", **low, "exclusiveMaximum": kind.most}
    return {"oneOf": [number, {"type": "string", "pattern": kind.pattern, "maxLength": LONGEST}]}


Cpu = Annotated[str, BeforeValidator(lambda value: _read(CPU, value)), WithJsonSchema(_schema(CPU))]
Memory = Annotated[str, BeforeValidator(lambda value: _read(MEMORY, value)), WithJsonSchema(_schema(MEMORY))]
