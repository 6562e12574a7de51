"""``astra-job inspect``: everything that is asked about data, because the operator and the command line never read it."""

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.errors import BadInput
from astra_jobs.api.frame import framed
from astra_jobs.api.invalid import explain
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.result import JobResult
from astra_jobs.runtime import logs
from astra_jobs.runtime.arguments import Parser
from astra_jobs.runtime.backend import Backend
from astra_jobs.runtime.logs import Section
from astra_jobs.runtime.store import open_store

PRINTED_BYTES = 6 * 2**20
"""Most that one ``inspect logs`` prints, newest processes first: a cluster keeps 10 MiB of its pod's log."""


def run(arguments: list[str]) -> JobResult:
    """Do one inspection."""
    parser = Parser(prog="astra-job inspect")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    report = commands.add_parser("report", help="write the self-contained HTML report of runs")
    report.add_argument("--runs", required=True, type=Path, help="JSON list of run objects with their status")
    report.add_argument("--out", required=True, type=Path, help="file to write")
    report.set_defaults(work=_report)
    kept = commands.add_parser("logs", help="print what the pods of an attempt have printed")
    kept.add_argument("--run", required=True, help="UID of the run")
    kept.add_argument("--attempt", required=True, type=int, help="number of the attempt")
    kept.add_argument("--stage", help="only this stage")
    kept.add_argument("--without", action="append", default=[], metavar="STAGE/RESTART", help="leave a launch out; may be given again")
    kept.set_defaults(work=_logs)
    for command in (report, kept):
        command.add_argument("--store", required=True, help="URL of the artifact store")
        command.add_argument("--endpoint", help="S3 endpoint URL")
        command.add_argument(
            "--framed", action="store_true", help="print the result packed and with its digest, to be read from a pod's log"
        )
    options = parser.parse_args(arguments)
    options.work(options)
    return JobResult(outcome="Succeeded")


def _logs(options: argparse.Namespace) -> None:
    backend = open_store(StoreSettings(url=options.store, endpoint=options.endpoint)).backend
    chosen = _chosen(backend, options)
    printed = 0
    parts: list[bytes] = []
    for section, pieces in reversed(chosen.items()):
        printed += sum(pieces.values())
        text = b"[... left out; ask for one stage ...]"
        if printed <= PRINTED_BYTES:
            text = logs.text_of(backend, options.run, options.attempt, section, pieces).removesuffix(b"\n")
        parts.append(f"==> {_title(section)} <==\n".encode() + text + b"\n")
    _print(b"".join(reversed(parts)), options.framed)


def _chosen(backend: Backend, options: argparse.Namespace) -> dict[Section, dict[int, int]]:
    """Return the processes that the options name; refuse what the store has nothing of."""
    run = logs.checked_run(options.run)
    everything = logs.sections(backend, run, options.attempt)
    if not everything:
        known = ", ".join(map(str, logs.attempts(backend, run)))
        raise BadInput(
            "--attempt", "BadInput", f"found {options.attempt}: no logs are kept of it; of this run there are: {known or 'none'}"
        )
    stages = sorted({section.stage for section in everything})
    if options.stage and options.stage not in stages:
        raise BadInput(
            "--stage", "BadInput", f"found {options.stage!r}: no logs are kept of it; of this attempt there are: {', '.join(stages)}"
        )
    return {
        section: pieces
        for section, pieces in everything.items()
        if options.stage in (None, section.stage) and f"{section.stage}/{section.restart}" not in options.without
    }


def _title(section: Section) -> str:
    began = datetime.fromtimestamp(int(section.start.split("-")[0]) / 1000, tz=UTC)
    return f"stage {section.stage}, restart {section.restart}, pod {section.pod}, began {began:%Y-%m-%dT%H:%M:%SZ}"


def _print(data: bytes, packed: bool) -> None:
    sys.stdout.buffer.write(framed(data).encode() if packed else data)
    sys.stdout.buffer.flush()


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
    if options.framed:
        _print(options.out.read_bytes(), packed=True)


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
