"""``astra-job inspect``: everything that is asked about data, because the operator and the command line never read it."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.result import JobResult
from astra_jobs.runtime.store import open_store


class _Parser(argparse.ArgumentParser):
    """Refuses like everything else: one line, exit code 78."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput instead of leaving with 2."""
        raise BadInput("astra-job inspect", "BadInput", f"{message}; {' '.join(self.format_usage().split())}")


def run(arguments: list[str]) -> JobResult:
    """Do one inspection."""
    parser = _Parser(prog="astra-job inspect")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    report = commands.add_parser("report", help="write the self-contained HTML report of runs")
    report.add_argument("--store", required=True, help="URL of the artifact store")
    report.add_argument("--endpoint", help="S3 endpoint URL")
    report.add_argument("--runs", required=True, type=Path, help="JSON list of run objects with their status")
    report.add_argument("--out", required=True, type=Path, help="file to write")
    _report(parser.parse_args(arguments))
    return JobResult(outcome="Succeeded")


def _report(options: argparse.Namespace) -> None:
    from astra_jobs.report.job import write
    from astra_jobs.report.runs import Run, Stage

    store = open_store(StoreSettings(url=options.store, endpoint=options.endpoint))
    with tempfile.TemporaryDirectory() as scratch:
        runs = []
        for item in read_runs(options.runs):
            stages = []
            for name, artifact in artifacts_of(item, options.runs).items():
                folder = store.fetch(artifact, Path(scratch) / artifact.digest.removeprefix("sha256:"))
                stages.append(Stage(name, artifact, store.manifest(artifact), folder))
            runs.append(Run(item, stages))
        write(runs, options.out)


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Read a JSON list of run objects."""
    try:
        runs = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(str(path), "BadInput", f"cannot be read ({error.strerror}); give a file with a JSON list of runs") from None
    except ValueError as error:
        raise BadInput(str(path), "BadInput", f"is no JSON ({error}); give a file with a JSON list of runs") from None
    if not isinstance(runs, list) or not all(isinstance(run, dict) and "kind" in run and "metadata" in run for run in runs):
        raise BadInput(str(path), "BadInput", "is no list of run objects with kind and metadata; write what astra get -o json prints")
    return runs


def artifacts_of(run: dict[str, Any], path: Path) -> dict[str, Artifact]:
    """Return the artifacts that a run's status names, by stage."""
    status = run.get("status") or {}
    try:
        return {stage: Artifact.model_validate(found) for stage, found in (status.get("artifacts") or {}).items()}
    except ValidationError as error:
        where = f"{path}: {run['kind']}/{run['metadata'].get('name')}"
        raise BadInput(where, "BadInput", f"status.artifacts: {explain(error, Artifact)}") from None
