"""The table that ``kubectl get astra`` prints, made from the same columns as the CRDs' printer columns."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from astra_jobs.api.base import GROUP
from astra_operator.clusters.base import Object, parse_time
from astra_operator.crdgen.columns import COLUMNS, Column, value_at
from astra_operator.crdgen.names import NAMES


def age(seconds: float) -> str:
    """Return a duration as kubectl writes it: 42s, 3m5s, 12m, 4h10m, 3d."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if days < 2:
        return f"{hours}h"
    return f"{days}d"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")


def cell(column: Column, run: Object, now: datetime) -> str:
    """Return one cell's text."""
    value: Any = value_at(column.path, run)
    if value is None:
        return ""
    if column.type == "date":
        return age((now - parse_time(value)).total_seconds())
    return str(value)


def full_name(run: Object) -> str:
    """Return the name as kubectl prints it for a category: kind.group/name."""
    return f"{NAMES[run['kind']].singular}.{GROUP}/{run['metadata']['name']}"


def rows(runs: Iterable[Object], wide: bool = False, now: datetime | None = None) -> list[list[str]]:
    """Return header and rows."""
    moment = now or datetime.now(UTC)
    columns = [column for column in COLUMNS if wide or not column.wide]
    header = ["NAME", *(column.name.upper() for column in columns)]
    return [header, *([full_name(run), *(cell(column, run, moment) for column in columns)] for run in runs)]


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows as text, columns three spaces apart, as kubectl does."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def table(runs: Iterable[Object], wide: bool = False, now: datetime | None = None) -> str:
    """Return the whole table as text."""
    return aligned(rows(runs, wide, now))
