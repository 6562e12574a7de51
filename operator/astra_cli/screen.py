"""What ``astra run`` shows while it runs: moving bars on a terminal, plain lines elsewhere; something at all times."""

import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from astra_cli.state import ON_ITS_WAY
from astra_cli.table import age
from astra_cli.watch import Line

PLAIN_SECONDS = 5.0
TAKEN = 24 + 1 + 9 + 1 + 10 + 1 + 24 + 1 + 5 + 2  # columns of a bar's line before its detail: a longer line would squeeze the bar


class Screen(Protocol):
    """Where lines go; ``say`` is for the few things that must stay readable afterwards."""

    def show(self, lines: Sequence[Line]) -> None:
        """Show all runs as they are now."""

    def say(self, text: str) -> None:
        """Print one line that stays."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def screen_for(plain: bool) -> Screen:
    """Return bars for a terminal and lines for everything else."""
    return LineScreen() if plain or not sys.stdout.isatty() else BarScreen()


def detail(line: Line) -> str:
    """Return what a run does, in a few words."""
    if line.state == "Succeeded":
        return line.reason
    if line.state in ("Failed", "Stalled", "Waiting", "Suspended") or line.reason == "Restarting":
        return f"{line.reason}: {line.message}" if line.message else line.reason
    if line.total:
        rest = f", {age(line.eta)} left" if line.eta is not None else ""
        words = f"  {line.doing}" if line.doing else ""
        return f"{line.step}/{line.total}{rest}{words}"
    return line.doing or (line.reason if line.reason != "Running" else "starting")


class LineScreen:
    """One line for each change, and one for each running stage every few seconds."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._told: dict[str, tuple[str, ...]] = {}
        self._last: dict[str, float] = {}

    def show(self, lines: Sequence[Line]) -> None:
        """Print what changed, or what is due."""
        now = time.monotonic()
        for line in lines:
            place = (line.state, line.stage, str(line.restart), "" if line.state in ON_ITS_WAY else line.reason)
            due = line.state in ON_ITS_WAY and now - self._last.get(line.label, 0.0) >= PLAIN_SECONDS
            if place != self._told.get(line.label) or due:
                self._told[line.label], self._last[line.label] = place, now
                self.say(self._text(line))

    @staticmethod
    def _text(line: Line) -> str:
        stage = f"{line.stage:<10} " if line.stage and line.state in ON_ITS_WAY else ""
        percent = f"{line.percent:>3} % " if line.total and line.state == "Running" else ""
        again = f" (restart {line.restart})" if line.restart else ""
        return f"{line.label:<24} {line.state:<9} {stage}{percent}{detail(line)}{again}"

    def say(self, text: str) -> None:
        """Print one line with the time since the start."""
        seconds = int(time.monotonic() - self._start)
        print(f"[{seconds // 60:02d}:{seconds % 60:02d}] {text}", flush=True)

    def close(self) -> None:
        """Nothing to undo."""


_COLOURS = {
    "Succeeded": "green",
    "Failed": "red",
    "Running": "cyan",
    "Pending": "dim",
    "Waiting": "yellow",
    "Stalled": "red",
    "Suspended": "yellow",
}


class BarScreen:
    """A bar for each run."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._bars = Progress(
            TextColumn("{task.fields[label]}", justify="left"),
            TextColumn("[{task.fields[colour]}]{task.fields[state]:<9}[/]"),
            TextColumn("{task.fields[stage]:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()

    def show(self, lines: Sequence[Line]) -> None:
        """Move the bars."""
        for line in lines:
            fields: dict[str, Any] = {
                "label": f"{line.label:<24}",
                "state": line.state,
                "stage": line.stage if line.state in ON_ITS_WAY else "",
                "detail": detail(line)[: max(12, self._console.width - TAKEN)],
                "colour": _COLOURS[line.state],
            }
            done = 100 if line.state == "Succeeded" else line.percent
            if line.label not in self._tasks:
                self._tasks[line.label] = self._bars.add_task("", total=100, completed=done, **fields)
            else:
                self._bars.update(self._tasks[line.label], completed=done, **fields)

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Stop the bars."""
        self._bars.stop()
