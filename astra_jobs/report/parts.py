"""Pieces that every section uses: sections, figures, tables that become cards on a phone, folded details."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from astra_jobs.report.markup import Markup, tag

_MOST_ROWS = 60


@dataclass(frozen=True)
class Column:
    """A column of a table; ``kind`` is a CSS class: '' text, 'number', 'code', 'wide'."""

    name: str
    kind: str = ""


def section(key: str, title: str, about: str, *children: object) -> Markup:
    """Return a titled section with one sentence on what it shows."""
    return tag("section", tag("h2", title), tag("p", about, class_="about"), children, id=key)


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, flagged: frozenset[int] = frozenset()) -> Markup:
    """Return a table; each cell knows its column's name, which a phone shows beside it. ``flagged`` rows stand out."""
    head = tag("tr", [tag("th", column.name, scope="col", class_=column.kind or None) for column in columns])
    body = [
        tag(
            "tr",
            [_cell(column, cell, place) for place, (column, cell) in enumerate(zip(columns, row, strict=True))],
            class_=_flag(index, flagged),
        )
        for index, row in enumerate(rows)
    ]
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", body))


def _flag(index: int, flagged: frozenset[int]) -> str | None:
    return "flagged" if index in flagged else None


def _cell(column: Column, cell: object, place: int) -> Markup:
    if place == 0:
        return tag("th", cell, scope="row", class_=column.kind or None)
    return tag("td", cell, class_=column.kind or None, data_label=column.name)


def figure(chart: Markup, title: str, caption: str, behind: Markup | None = None) -> Markup:
    """Return a chart with its caption and the folded table behind it."""
    folded = fold("Table behind this chart", behind) if behind is not None else None
    return tag("figure", tag("h4", title), chart, tag("figcaption", caption) if caption else None, folded)


def fold(summary: object, *children: object, open_: bool = False) -> Markup:
    """Return a folded part."""
    return tag("details", tag("summary", summary), children, open="" if open_ else None)


def missing(what: str) -> Markup:
    """Say that something is not there, instead of leaving a hole."""
    return tag("p", what, class_="missing")


def thinned(rows: Sequence[Sequence[object]]) -> tuple[list[Sequence[object]], str]:
    """Return at most sixty rows, evenly spaced with both ends, and the words that say so."""
    if len(rows) <= _MOST_ROWS:
        return list(rows), ""
    chosen = sorted({round(index * (len(rows) - 1) / (_MOST_ROWS - 1)) for index in range(_MOST_ROWS)})
    return [rows[index] for index in chosen], f", {len(chosen)} of {len(rows)} evenly spaced"
