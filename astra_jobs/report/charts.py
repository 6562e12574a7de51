"""The report's charts: inline SVG with axes, units, a title and a description; colours come from the page's style.

Drawn 480 wide and scaled by the page, two in a row on a screen and one on a phone, so that text stays readable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from astra_jobs.records.evaluation import Difference, Interval
from astra_jobs.report.figures import interval as written_interval
from astra_jobs.report.figures import number, signed, smoothed, ticks
from astra_jobs.report.markup import Markup, join, tag

WIDTH = 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 30, 40
_LINE_HEIGHT = 250
_LABELS, _VALUES, _ROW, _HEADER = 134, 132, 25, 28


@dataclass(frozen=True)
class Series:
    """One line: points in x order. ``window`` > 1 draws the mean of neighbours in front of the raw line."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "one"
    window: int = 1


@dataclass(frozen=True)
class LineChart:
    """What a line chart shows. ``top`` fixes the upper end of the y axis, for shares."""

    key: str
    title: str
    description: str
    y_label: str
    series: Sequence[Series]
    x_label: str = "step"
    top: float | None = None


@dataclass(frozen=True)
class Bar:
    """One bar of an interval chart."""

    label: str
    value: Interval
    style: str


@dataclass(frozen=True)
class BarChart:
    """Bars in named groups over one axis from 0 to 1."""

    key: str
    title: str
    description: str
    x_label: str
    groups: Sequence[tuple[str, Sequence[Bar]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Scale:
    """Maps [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start), 2)


def line_chart(chart: LineChart) -> Markup:
    """Draw lines over steps."""
    xs = [x for series in chart.series for x, _ in series.points]
    ys = [y for series in chart.series for _, y in series.points]
    y_ticks = ticks(min(0.0, *ys), chart.top if chart.top is not None else max(0.1, *ys))
    x_ticks = [tick for tick in ticks(min(xs), max(xs), 6, whole=True) if min(xs) <= tick <= max(xs)]
    x = _Scale(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, _LEFT, WIDTH - _RIGHT)
    y = _Scale(y_ticks[0], y_ticks[-1], _LINE_HEIGHT - _BOTTOM, _TOP)
    grid = [
        (
            tag("line", class_="grid", x1=x.start, x2=x.end, y1=y.at(tick), y2=y.at(tick)),
            tag("text", number(tick), class_="tick", x=x.start - 8, y=y.at(tick) + 4, text_anchor="end"),
        )
        for tick in y_ticks
    ]
    marks = [
        (
            tag("line", class_="axis", x1=x.at(tick), x2=x.at(tick), y1=y.start, y2=y.start + 4),
            tag("text", number(tick), class_="tick", x=x.at(tick), y=y.start + 18, text_anchor="middle"),
        )
        for tick in x_ticks
    ]
    frame = (
        tag("line", class_="axis", x1=x.start, x2=x.end, y1=y.at(y_ticks[0]), y2=y.at(y_ticks[0])),
        tag("text", chart.y_label, class_="label", x=0, y=13),
        tag("text", chart.x_label, class_="label", x=x.end, y=_LINE_HEIGHT - 4, text_anchor="end"),
    )
    lines = [_line(series, x, y) for series in chart.series]
    return _svg(chart.key, chart.title, chart.description, _LINE_HEIGHT, [grid, marks, frame, lines, _legend(chart.series)])


def _line(series: Series, x: _Scale, y: _Scale) -> Markup:
    raw = [(x.at(step), y.at(value)) for step, value in series.points]
    if series.window <= 1:
        marks = [tag("circle", class_=f"dot {series.style}", cx=a, cy=b, r=2.2) for a, b in raw] if len(raw) <= 40 else []
        return join([_path(raw, f"line {series.style}"), *marks])
    mean = smoothed([value for _, value in series.points], series.window)
    front = [(a, y.at(value)) for (a, _), value in zip(raw, mean, strict=True)]
    return join([_path(raw, f"line faint {series.style}"), _path(front, f"line {series.style}")])


def _path(points: Sequence[tuple[float, float]], style: str) -> Markup:
    return tag("polyline", class_=style, points=" ".join(f"{a:g},{b:g}" for a, b in points))


def _legend(series: Sequence[Series]) -> list[Markup]:
    """Name the lines in the upper right corner, from the right; a single line needs no name."""
    if len(series) < 2:
        return []
    parts, right = [], float(WIDTH - _RIGHT)
    for entry in reversed(series):
        parts.append(tag("text", entry.name, class_=f"key {entry.style}", x=right, y=13, text_anchor="end"))
        right -= 7.0 * len(entry.name) + 8
        parts.append(tag("line", class_=f"line {entry.style}", x1=right - 16, x2=right, y1=9, y2=9))
        right -= 30
    return parts


def bar_chart(chart: BarChart) -> Markup:
    """Draw horizontal bars with their intervals; the numbers stand in a column at the right."""
    x = _Scale(0.0, 1.0, _LABELS, WIDTH - _VALUES)
    rows: list[object] = []
    place = 4
    for name, bars in chart.groups:
        rows.append(tag("text", name, class_="group", x=0, y=place + 17))
        place += _HEADER
        for bar in bars:
            rows.append(_bar(bar, x, place))
            place += _ROW
    grid = [
        (
            tag("line", class_="grid", x1=x.at(tick), x2=x.at(tick), y1=4, y2=place + 4),
            tag("text", number(tick), class_="tick", x=x.at(tick), y=place + 20, text_anchor="middle"),
        )
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    label = tag("text", chart.x_label, class_="label", x=(x.start + x.end) / 2, y=place + 38, text_anchor="middle")
    return _svg(chart.key, chart.title, chart.description, place + 44, [grid, rows, label])


def _bar(bar: Bar, x: _Scale, top: float) -> Markup:
    middle = top + 10
    low, high = x.at(bar.value.low), x.at(bar.value.high)
    return tag(
        "g",
        tag("text", bar.label, class_="tick strong", x=_LABELS - 10, y=middle + 4, text_anchor="end"),
        tag(
            "rect",
            class_=f"bar {bar.style}",
            x=x.start,
            y=top + 2,
            width=max(0.0, round(x.at(bar.value.mean) - x.start, 2)),
            height=16,
            rx=2,
        ),
        tag("line", class_="whisker", x1=low, x2=high, y1=middle, y2=middle),
        tag("line", class_="whisker", x1=low, x2=low, y1=middle - 4, y2=middle + 4),
        tag("line", class_="whisker", x1=high, x2=high, y1=middle - 4, y2=middle + 4),
        tag("text", written_interval(bar.value), class_="tick", x=WIDTH, y=middle + 4, text_anchor="end"),
    )


def difference_chart(key: str, title: str, description: str, rows: Sequence[tuple[str, Difference]]) -> Markup:
    """Draw paired differences with their intervals; zero is always on the axis."""
    marks = ticks(min(0.0, *(row.low for _, row in rows)), max(0.02, *(row.high for _, row in rows)), 4)
    x = _Scale(marks[0], marks[-1], _LABELS, WIDTH - _VALUES - 18)
    bottom = 8 + _ROW * len(rows)
    grid = [
        (
            tag("line", class_="axis" if tick == 0 else "grid", x1=x.at(tick), x2=x.at(tick), y1=4, y2=bottom + 4),
            tag("text", number(tick), class_="tick", x=x.at(tick), y=bottom + 20, text_anchor="middle"),
        )
        for tick in marks
    ]
    drawn = [_difference(label, row, x, 8 + _ROW * place) for place, (label, row) in enumerate(rows)]
    label = tag("text", "difference", class_="label", x=(x.start + x.end) / 2, y=bottom + 38, text_anchor="middle")
    return _svg(key, title, description, bottom + 44, [grid, drawn, label])


def _difference(label: str, row: Difference, x: _Scale, top: float) -> Markup:
    middle, low, high = top + 10, x.at(row.low), x.at(row.high)
    style = "up" if row.low > 0 else "down" if row.high < 0 else "flat"
    return tag(
        "g",
        tag("text", label, class_="tick strong", x=_LABELS - 10, y=middle + 4, text_anchor="end"),
        tag("line", class_=f"range {style}", x1=low, x2=high, y1=middle, y2=middle),
        tag("circle", class_=f"point {style}", cx=x.at(row.mean), cy=middle, r=4.5),
        tag(
            "text",
            f"{signed(row.mean)} [{signed(row.low)}, {signed(row.high)}]",
            class_="tick",
            x=WIDTH,
            y=middle + 4,
            text_anchor="end",
        ),
    )


def meter(kept: int, dropped: int, largest: int) -> Markup:
    """Draw one row of a funnel as a thin bar; the table around it holds the numbers, so it is hidden from readers."""
    scale = 100 / max(1, largest)
    return tag(
        "svg",
        tag("rect", class_="kept", x=0, y=0, width=round(kept * scale, 3), height=10),
        tag("rect", class_="lost", x=round(kept * scale, 3), y=0, width=round(dropped * scale, 3), height=10),
        class_="meter",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _svg(key: str, title: str, description: str, height: float, children: Sequence[object]) -> Markup:
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        children,
        class_="chart",
        role="img",
        viewBox=f"0 0 {WIDTH} {height:g}",
        aria_labelledby=f"{key}-title {key}-desc",
    )
