"""``kubectl astra``: a run in a cluster as a tree, its logs and its report, and the small changes of its spec.

kubectl finds it as ``kubectl-astra`` on PATH. It needs a person's kubeconfig and rights, and no way to the store. Applying, waiting and
deleting are kubectl's own. Exit code: 0 done, 1 something failed, 78 bad input (one line each), as ``astra`` has them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from astra_cli import again, kubectl_logs
from astra_cli.choose import one_run
from astra_cli.guard import guarded
from astra_cli.kubectl_api import Failed, Server, connect
from astra_cli.kubectl_inspect import Question, answer
from astra_cli.state import state_of
from astra_cli.tree import collapsed, drawn, headline, run_node, watched
from astra_jobs.api.artifact import Kind
from astra_jobs.api.errors import BadInput
from astra_operator.clusters.base import Object, format_time
from astra_operator.clusters.index import Index
from astra_operator.desired import naming
from astra_operator.frozen import read_live
from astra_operator.observed import Launch, number_of, observe
from astra_operator.resolve import resolve
from astra_operator.settings import OperatorSettings, TeamSettings, parse_team
from astra_operator.stages import STAGES
from astra_operator.view import View

ABOUT = """Look at tool-using language models in the making on a cluster, and tell their runs what to do.

exit code: 0 done, 1 something failed, 78 bad input (one line each)"""
EPILOG = """
examples:
  kubectl astra status                     every run of the namespace, what it waits for and what its pods do
  kubectl astra status sftrun base         one run: inputs, attempt, stages, restarts and their causes, pods
  kubectl astra logs rlrun/astra -f        what its pods print, until it has ended
  kubectl astra logs astra --attempt 1     all of an attempt, from the store where pods are gone
  kubectl astra rerun SFTRun base          a new attempt
  kubectl astra retry SFTRun base          a failed one goes on from its last checkpoint
  kubectl astra report --out report.html   the page of all runs that have made something
"""
PROGRAM = "kubectl astra"
LAST_LINES, LOG_SECONDS, READERS = "3", 5.0, 8


class Session:
    """One command at work: the server, the namespace that is meant, and the team's settings there."""

    def __init__(self, options: argparse.Namespace) -> None:
        api, namespace = connect(options.kubeconfig, options.context)
        self.server = Server(api)
        self.namespace: str = options.namespace or namespace

    def one(self, words: Sequence[str]) -> Object:
        """Return the run that is named."""
        return one_run(words, self.namespace, self.server.runs(self.namespace))

    def team(self, namespace: str) -> TeamSettings:
        """Return the team's settings; raises ``BadInput`` when they are wrong or missing."""
        return parse_team(self.server.team(namespace), namespace)

    def view(self, run: Object, index: Index, team: TeamSettings | BadInput) -> View:
        """Return what the operator sees of a run."""
        return View(
            run=run,
            live=read_live(run),
            resolution=resolve(run, index.run),
            seen=observe(index.children(run["metadata"]["uid"])),
            team=team,
            settings=OperatorSettings(),
            now=datetime.now(UTC),
        )


def status(options: argparse.Namespace) -> int:
    """Print one run, or all of a namespace, as trees."""
    session = Session(options)
    if options.all_namespaces and options.run:
        raise BadInput(" ".join(options.run), "BadInput", "name no run together with -A, or name its namespace with -n")
    runs = session.server.runs(None if options.all_namespaces else session.namespace)
    if options.run:
        run = one_run(options.run, session.namespace, runs)
        _print_trees(session, [run], runs, session.server.index(runs, session.namespace, run))
    namespaces = [] if options.run else sorted({run["metadata"]["namespace"] for run in runs})
    for namespace in namespaces:
        if options.all_namespaces:
            print(f"namespace {namespace}")
        here = [run for run in runs if run["metadata"]["namespace"] == namespace]
        _print_trees(session, here, runs, session.server.index(here, namespace))
    if not runs:
        where = "any namespace" if options.all_namespaces else f"namespace {session.namespace}"
        print(f"no runs in {where}; apply manifests with kubectl apply -f", file=sys.stderr)
    for line in session.server.notes:
        print(line, file=sys.stderr)
    return 0


def _print_trees(session: Session, shown: list[Object], runs: list[Object], index: Index) -> None:
    namespace = shown[0]["metadata"]["namespace"]
    try:
        team: TeamSettings | BadInput = session.team(namespace)
    except BadInput as error:
        team = error
    views = [session.view(run, index, team) for run in shown]
    names = {name: kubectl_logs.container_of_stage(view) for view in views for name in watched(view)}
    with ThreadPoolExecutor(READERS) as pool:
        lines = dict(zip(names, pool.map(lambda name: _last_lines(session.server, namespace, name, names[name]), names), strict=True))
    for view in views:
        if len(runs) > 1 and len(shown) > 1 and collapsed(view):
            print(headline(view))
        else:
            print("\n".join(drawn(run_node(view, index.run, lines))))


def _last_lines(server: Server, namespace: str, pod: str, container: str) -> list[str]:
    try:
        text = server.log(namespace, pod, LOG_SECONDS, container=container, tailLines=LAST_LINES).decode(errors="replace")
    except Failed as error:
        return [str(error)]
    return [line[:200] for line in text.splitlines() if line.strip()]


def rerun(options: argparse.Namespace) -> int:
    """Ask for a new attempt."""
    session = Session(options)
    return _change(session, session.one(options.run), {"rerun": format_time(datetime.now(UTC))}, "will be made anew")


def retry(options: argparse.Namespace) -> int:
    """Let a failed run go on."""
    session = Session(options)
    run = session.one(options.run)
    return _change(session, run, {"retry": again.next_retry(run, PROGRAM)}, again.retried(run, PROGRAM))


def suspend(options: argparse.Namespace) -> int:
    """Ask for no pods."""
    session = Session(options)
    return _change(session, session.one(options.run), {"suspend": True}, "is suspended; its progress is kept")


def resume(options: argparse.Namespace) -> int:
    """Ask for pods again."""
    session = Session(options)
    run = session.one(options.run)
    return _change(session, run, {"suspend": False}, again.resumed(run, PROGRAM))


def _change(session: Session, run: Object, spec: dict[str, object], what: str) -> int:
    session.server.merge(run, {"spec": spec})
    print(f"{run['kind']} {run['metadata']['name']} {what}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print logs: of the pods that there are, and with ``--attempt`` also of those that are gone."""
    session = Session(options)
    run = session.one(options.run)
    newest = ((run.get("status") or {}).get("attempt") or {}).get("number", 0)
    _check(run["kind"], newest, options)
    attempt = options.attempt or (None if options.follow else newest)
    choice = kubectl_logs.Choice(run, newest, attempt, options.stage)
    printer = kubectl_logs.Printer(session.server, choice)
    if options.follow:
        printer.follow(lambda: state_of(session.one([run["kind"], run["metadata"]["name"]])) in ("Succeeded", "Failed", "Suspended"))
        return 0
    pods = printer.pods()
    living = {(pod["metadata"]["labels"][naming.LABEL_STAGE], number_of(pod, naming.LABEL_RESTART)) for pod in pods}
    started = {(launch.stage, launch.restart) for launch in _launches(session, run) if options.stage in (None, launch.stage)}
    if attempt != newest or not pods or (options.attempt and started - living):
        sys.stdout.write(_from_store(session, run, attempt or newest, options.stage, living).decode(errors="replace"))
        sys.stdout.flush()
    elif started - living:
        print(f"{len(started - living)} launches have no pods any more; --attempt {newest} prints theirs too", file=sys.stderr)
    printer.print_all(pods)
    return 0


def _launches(session: Session, run: Object) -> tuple[Launch, ...]:
    """Return the launches of the newest attempt."""
    index = session.server.index([run], run["metadata"]["namespace"], run)
    return observe(index.children(run["metadata"]["uid"])).launches


def _check(kind: Kind, newest: int, options: argparse.Namespace) -> None:
    stages = [stage.name for stage in STAGES[kind]]
    if options.stage and options.stage not in stages:
        raise BadInput("--stage", "BadInput", f"found {options.stage!r}; {kind} has the stages {', '.join(stages)}")
    if not newest:
        raise BadInput(" ".join(options.run), "BadInput", "no attempt has begun yet; see kubectl astra status")
    if options.attempt is not None and not 1 <= options.attempt <= newest:
        raise BadInput("--attempt", "BadInput", f"found {options.attempt}; the newest attempt is {newest}")
    if options.follow and options.attempt not in (None, newest):
        raise BadInput(
            "--attempt", "BadInput", f"found {options.attempt} with --follow; only the newest attempt, {newest}, can be followed"
        )


def _from_store(session: Session, run: Object, attempt: int, stage: str | None, living: set[tuple[str, int]]) -> bytes:
    """Return what the store has of an attempt, without the launches whose pods still exist."""
    team = session.team(session.namespace)
    words = ["logs", "--run", run["metadata"]["uid"], "--attempt", str(attempt), *(["--stage", stage] if stage else [])]
    words += [word for name, restart in sorted(living) for word in ("--without", f"{name}/{restart}")]
    return answer(session.server, session.namespace, team, Question(words, team.store, read_live(run).common.pod))


def report(options: argparse.Namespace) -> int:
    """Write the report of all runs of the namespace that have an artifact."""
    session = Session(options)
    everything = session.server.runs(session.namespace)
    runs = [run for run in everything if (run.get("status") or {}).get("artifacts")]
    if not runs:
        raise BadInput(f"namespace {session.namespace}", "BadInput", "no run has made anything yet; see kubectl astra status")
    team = session.team(session.namespace)
    words = ["report", "--runs", "in/runs.json", "--out", "out/report.html"]
    files = {"runs.json": json.dumps([_trimmed(run) for run in runs])}
    page = answer(session.server, session.namespace, team, Question(words, team.store, read_live(runs[-1]).common.pod, files))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(page)
    print(f"report: {options.out} ({len(page):,} bytes, {len(runs)} runs)")
    for run in everything:
        if run not in runs:
            print(f"left out: {run['kind']} {run['metadata']['name']}, whose attempt has made nothing yet", file=sys.stderr)
    return 0


def _trimmed(run: Object) -> Object:
    metadata = {name: value for name, value in run["metadata"].items() if name != "managedFields"}
    return {**run, "metadata": metadata}


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets ``command`` to the function that carries it out."""
    main = argparse.ArgumentParser(
        prog="kubectl astra", description=ABOUT, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_common(main, None)
    group = main.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, work: Callable[[argparse.Namespace], int], about: str, runs: str = "+") -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = group.add_parser(name, help=about, description=about)
        found.set_defaults(command=work)
        _add_common(found, argparse.SUPPRESS)
        if runs:
            found.add_argument("run", nargs=runs, metavar="KIND NAME", help="kind and name, KIND/NAME, or a NAME that only one run has")
        return found

    shown = command("status", status, "print a run as a tree, or all runs of the namespace", "*")
    shown.add_argument("-A", "--all-namespaces", action="store_true", help="runs of every namespace")
    command("rerun", rerun, "ask for a new attempt of a run")
    command("retry", retry, "let a failed run go on from its last checkpoint, in the same attempt")
    command("suspend", suspend, "stop a run's pods; its progress is kept")
    command("resume", resume, "let a suspended run go on")
    read = command("logs", logs, "print what a run's pods have printed; those of pods that are gone come from the store")
    read.add_argument(
        "--attempt", type=int, metavar="N", help="all of this attempt, pods that are gone too (default: the pods that there are)"
    )
    read.add_argument("--stage", metavar="NAME", help="only this stage")
    read.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    page = command("report", report, "write the report of all runs of the namespace that have made something", "")
    page.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="file to write (default: report.html)")
    return main


def _add_common(command: argparse.ArgumentParser, default: str | None) -> None:
    command.add_argument("-n", "--namespace", default=default, help="namespace (default: that of the kubeconfig's context)")
    command.add_argument("--context", default=default, metavar="NAME", help="context of the kubeconfig")
    command.add_argument(
        "--kubeconfig", default=default, metavar="FILE", help="kubeconfig (default: KUBECONFIG, ~/.kube/config, or the pod's own rights)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    options = parser().parse_args(arguments)
    return guarded("kubectl astra", lambda: _carry_out(options))


def _carry_out(options: argparse.Namespace) -> int:
    try:
        code: int = options.command(options)
        return code
    except Failed as error:
        print(f"kubectl astra: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
