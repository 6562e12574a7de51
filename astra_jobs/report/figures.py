"""Numbers as people read them, and the marks of an axis."""

import math
from datetime import datetime

from astra_jobs.records.evaluation import Interval


def number(value: float, digits: int = 3) -> str:
    """Write a number: whole ones with thousands separated, others with the given significant digits."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def counted(count: float, what: str) -> str:
    """Write a number of things; the plural takes an s."""
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def share(value: float) -> str:
    """Write a value between 0 and 1 with two decimals."""
    return f"{value:.2f}".replace("-", "−")


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def interval(value: Interval) -> str:
    """Write a mean and its interval."""
    return f"{share(value.mean)} [{share(value.low)}, {share(value.high)}]"


def short(digest: str) -> str:
    """Return the first twelve hex digits of a digest."""
    return digest.removeprefix("sha256:")[:12]


def size(count: int) -> str:
    """Write a number of bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"


def between(start: str | None, end: str | None) -> str:
    """Write the time between two RFC 3339 stamps, '–' when one is missing or not a stamp."""
    try:
        seconds = (datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()
    except (ValueError, TypeError):
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(stamp: str | None) -> str:
    """Write an RFC 3339 stamp without its T and seconds' fraction."""
    return (stamp or "–").replace("T", " ").replace("Z", " UTC").split(".")[0]


def ticks(low: float, high: float, about: int = 5, whole: bool = False) -> list[float]:
    """Return round values that cover [low, high]: steps of 1, 2, 2.5 or 5 times a power of ten, or ``whole`` ones."""
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        high = low + max(1.0, abs(low))
    rough = max((high - low) / max(1, about - 1), 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(factor * power for factor in factors if factor * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [round(index * step, 12) for index in range(first, last + 1)]


def smoothed(values: list[float], window: int) -> list[float]:
    """Return the mean over each value and its neighbours, ``window`` values at most; windows shrink at the ends."""
    half = window // 2
    reach = [min(half, index, len(values) - 1 - index) for index in range(len(values))]
    return [sum(values[index - side : index + side + 1]) / (2 * side + 1) for index, side in enumerate(reach)]
