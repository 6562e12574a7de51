"""What the server counts, as Prometheus reads it.

Labels are names out of this code: routes, outcomes, reasons. No session, environment or tool is ever one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

PREFIX = "astra_sandbox_"
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper edges in seconds of how long calls took, waiting included."""
KIND = b"text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, object], float]


class CallMetrics:
    """Outcomes of calls and how long they took, from their arrival to their result."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, outcome: str, seconds: float) -> None:
        """Count one call."""
        self.outcomes[outcome] += 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def text(self) -> str:
        """Return the lines of the counter and of the histogram."""
        name = f"{PREFIX}call_seconds"
        lines = [f"# HELP {name} Time from a call's arrival to its result.", f"# TYPE {name} histogram"]
        total = 0
        for edge, count in zip((*map(str, BUCKETS), "+Inf"), self.buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{edge}"}} {total}')
        lines += [f"{name}_sum {self.seconds:.9g}", f"{name}_count {total}", ""]
        outcomes = [({"outcome": outcome}, float(count)) for outcome, count in sorted(self.outcomes.items())]
        return family("calls_total", "counter", "Calls answered, by outcome.", outcomes) + "\n".join(lines)


def family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> str:
    """Return the lines of one metric."""
    lines = [f"# HELP {PREFIX}{name} {about}", f"# TYPE {PREFIX}{name} {kind}"]
    for labels, value in samples:
        written = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items())
        lines.append(f"{PREFIX}{name}{f'{{{written}}}' if written else ''} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
