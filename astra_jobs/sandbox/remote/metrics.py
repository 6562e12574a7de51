"""What a client counts: plain numbers by name, for a job's progress. Holds no session ids and keeps no samples."""

from collections import defaultdict


class Metrics:
    """Counters, and for each timed thing its number, sum and longest, in seconds."""

    def __init__(self) -> None:
        self.values: defaultdict[str, float] = defaultdict(float)

    def add(self, name: str, by: float = 1) -> None:
        """Count."""
        self.values[name] += by

    def timed(self, name: str, seconds: float) -> None:
        """Take one measured duration."""
        values = self.values
        values[f"{name}_count"] += 1
        values[f"{name}_seconds"] += seconds
        if seconds > values[f"{name}_seconds_longest"]:
            values[f"{name}_seconds_longest"] = seconds

    def counts(self) -> dict[str, float]:
        """Return a copy, by name."""
        return dict(sorted(self.values.items()))
