"""Writes the report of a pipeline: one HTML file that needs nothing else."""

from pathlib import Path

from astra_jobs.report.runs import Run


def write(runs: list[Run], out: Path) -> None:
    """Write the report of ``runs`` to ``out``."""
    raise NotImplementedError
