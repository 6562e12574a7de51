"""The short commands: they read the state folder, or leave a small change for whoever drives it."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from astra_cli import again
from astra_cli import logs as log_reader
from astra_cli.choose import one_run, selected
from astra_cli.describe import text_of
from astra_cli.manifests import load
from astra_cli.report import write_report
from astra_cli.state import state_of
from astra_cli.table import full_name, table
from astra_jobs.api.errors import BadInput
from astra_operator.clusters.base import Object, RunKey, format_time, key_of
from astra_operator.clusters.local_files import Busy, take_lock
from astra_operator.clusters.local_objects import Runs, complete_team, leave_intent, read_runs, read_team
from astra_operator.settings import OperatorSettings, parse_team
from astra_operator.site import Site


def get(options: argparse.Namespace) -> int:
    """Print the table or the objects."""
    runs = read_runs(options.state)
    here = [run for run in runs if options.all_namespaces or run["metadata"]["namespace"] == options.namespace]
    kind, name = selected(options.run, here)
    found = [run for run in here if name in (None, run["metadata"]["name"]) and kind in (None, run["kind"])]
    if name is not None and not found:
        one_run(options.run, options.namespace, runs)
    if options.output == "json":
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif options.output == "yaml":
        print("---\n".join(_yaml(run) for run in found), end="")
    elif options.output == "name":
        print("\n".join(full_name(run) for run in found))
    elif not found:
        print(f"no runs in {options.state}; apply manifests with astra run", file=sys.stderr)
    else:
        print(table(found, wide=options.output == "wide"))
    return 0


def _yaml(item: Mapping[str, Any]) -> str:
    from astra_operator.crdgen.documents import to_yaml

    return to_yaml(dict(item))


def describe(options: argparse.Namespace) -> int:
    """Print one run."""
    print(text_of(one_run(options.run, options.namespace, read_runs(options.state)), options.state))
    return 0


def render(options: argparse.Namespace) -> int:
    """Print what the operator will create."""
    from astra_operator.desired.preview import preview

    manifests = load(options.paths, read_runs(options.state))
    data = complete_team(options.state, manifests.team or {})
    documents = []
    for run in manifests.runs:
        team = parse_team(data, key_of(run).namespace)
        documents += preview(run, Site(team, OperatorSettings(), datetime.now(UTC)))
    print("---\n".join(_yaml(item) for item in documents), end="")
    return 0


def report(state: Path, out: Path, environment: Mapping[str, str]) -> int:
    """Write the report of all runs that have an artifact."""
    runs = [run for run in read_runs(state) if run["status"].get("artifacts")]
    if not runs:
        raise BadInput(str(state), "BadInput", "no run has made anything yet; start with astra run")
    problem = write_report(runs, read_team(state, runs[0]["metadata"]["namespace"]), out, environment)
    if problem:
        print(f"report: {problem}", file=sys.stderr)
        return 1
    print(f"report: {out}")
    return 0


def rerun(options: argparse.Namespace) -> int:
    """Ask for a new attempt."""
    return _change(options, _named(options), {"rerun": format_time(datetime.now(UTC))}, "will be made anew")


def retry(options: argparse.Namespace) -> int:
    """Let a failed run go on."""
    run = _named(options)
    return _change(options, run, {"retry": again.next_retry(run, "astra")}, again.retried(run, "astra"))


def suspend(options: argparse.Namespace) -> int:
    """Ask for no pods."""
    return _change(options, _named(options), {"suspend": True}, "is suspended")


def resume(options: argparse.Namespace) -> int:
    """Ask for pods again."""
    run = _named(options)
    return _change(options, run, {"suspend": False}, again.resumed(run, "astra"))


def _named(options: argparse.Namespace) -> Object:
    return one_run(options.run, options.namespace, read_runs(options.state))


def _change(options: argparse.Namespace, run: Object, values: dict[str, Any], what: str) -> int:
    key = RunKey(run["kind"], run["metadata"]["namespace"], run["metadata"]["name"])
    who = {"pid": 0, "since": format_time(datetime.now(UTC)), "command": " ".join(["astra", *sys.argv[1:]])}
    try:
        with take_lock(options.state / "lock", who):
            Runs(options.state).patch(key, values)
        when = "with the next astra run"
    except Busy:
        leave_intent(options.state, key, values, time.time_ns())
        when = "now, by the astra run that is at work"
    print(f"{run['kind']} {run['metadata']['name']} {what} {when}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print logs."""
    run = one_run(options.run, options.namespace, read_runs(options.state))
    newest = (run["status"].get("attempt") or {}).get("number", 1)
    reader = log_reader.Reader(options.state, run, options.attempt or newest)
    reader.print_new()
    if not reader.seen:
        print(f"{run['kind']} {run['metadata']['name']}: attempt {options.attempt or newest} has no logs", file=sys.stderr)
    while options.follow:
        now = next(item for item in read_runs(options.state) if item["metadata"]["uid"] == run["metadata"]["uid"])
        reader.print_new()
        if state_of(now) in ("Succeeded", "Failed", "Suspended"):
            break
        time.sleep(log_reader.FOLLOW_SECONDS)
    return 0
