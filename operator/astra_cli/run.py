"""``astra run``: apply manifests to the local cluster and drive it until every run has ended.

The same reconcile as in a cluster, in one process and one thread. Stopping it at any moment loses nothing: the same command
goes on, because everything is in files under the state folder and in the store.
"""

import contextlib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import unquote, urlparse

from astra_cli import laptop, secret_files
from astra_cli.again import counted
from astra_cli.manifests import BadManifests, Manifests, load
from astra_cli.refusals import Places, line_for, refused, waits
from astra_cli.report import write_report
from astra_cli.screen import Screen
from astra_cli.state import for_input, moving, state_of
from astra_cli.table import table
from astra_cli.watch import line_of
from astra_jobs.api.errors import EXIT_BAD_INPUT
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.clusters.local import LocalCluster
from astra_operator.clusters.local_objects import read_runs, read_team
from astra_operator.controller import Controller
from astra_operator.resolve import references
from astra_operator.settings import OperatorSettings

TICK, SHOW = 0.1, 0.5


@dataclass
class Stop:
    """Counts the times that somebody asked to stop."""

    asked: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.asked += 1


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Turn Ctrl-C, termination and a closed terminal into a wish to stop."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Session:
    """One ``astra run``: which runs it is about, and which of them it executed anything for."""

    cluster: LocalCluster
    controller: Controller
    screen: Screen
    keys: list[RunKey]
    executed: set[RunKey] = field(default_factory=set)

    def runs(self) -> list[Object]:
        """Return the runs as they are now, in pipeline order."""
        return [run for key in self.keys if (run := self.cluster.get_run(*key)) is not None]

    def settled(self) -> bool:
        """Tell if none of the runs will change by itself any more."""
        by_key = {key_of(run): run for run in self.cluster.list_runs()}
        return not any(moving(by_key[key], by_key) for key in self.keys if key in by_key)

    def drive(self, stop: Stop) -> None:
        """Move the cluster until every run has settled or somebody asked to stop."""
        self.controller.wake_all()
        shown, last = 0.0, False
        while not stop.asked:
            touched = self.cluster.tick()
            self.executed |= {key for key in touched if self.cluster.started_for(key)}
            for key in touched:
                self.controller.wake(key)
            wait = self.controller.work()
            now = time.monotonic()
            if now - shown >= SHOW:
                self.screen.show([line_of(self.cluster, run) for run in self.runs()])
                shown = now
            idle = not touched and (wait is None or wait > 0) and self.settled()
            if idle and last:
                break
            last = idle
            if not idle:
                time.sleep(TICK)
        self.screen.show([line_of(self.cluster, run) for run in self.runs()])

    def halt(self, stop: Stop) -> None:
        """Stop every pod; a second wish to stop does not wait for checkpoints."""
        self.screen.say("stopping: jobs save a checkpoint and end (once more Ctrl-C does not wait for them)")
        while not self.cluster.stop_all():
            if stop.asked > 1:
                self.cluster.kill_all()
            time.sleep(TICK)
        self.screen.say("stopped; the same command goes on from here")


def run(paths: list[Path], state: Path, screen: Screen, environment: dict[str, str], report: Path | None) -> int:
    """Carry out ``astra run``; return the exit code: 0 every run has succeeded, 78 nothing but bad input hindered it, 1 else.

    Raises:
        BadManifests: nothing was started.
        Busy: somebody else acts on the same state folder.
    """
    manifests = load(paths, read_runs(state))
    laptop.check(manifests)
    secret_files.check(manifests, state)
    check_store(manifests, state)
    logging.getLogger("astra_operator").addHandler(_Said(screen.say))
    cluster = LocalCluster(state, environment, command=" ".join(["astra", *sys.argv[1:]]), say=screen.say)
    with contextlib.closing(cluster), stopping() as stop:
        keys = apply(cluster, manifests)
        retry(cluster, keys, screen)
        session = Session(cluster, Controller(cluster, OperatorSettings(poll=5.0, progress_interval=10.0)), screen, keys)
        start = time.monotonic()
        session.drive(stop)
        if stop.asked:
            session.halt(stop)
        else:
            mark_up_to_date(session)
        runs = session.runs()
        screen.close()
        print(f"\n{table(runs)}")
        code = _explain(cluster, runs, manifests)
        if stop.asked:
            return 1
        _sum_up(session, time.monotonic() - start)
        return _report(cluster, runs, report) if code == 0 and report is not None else code


def apply(cluster: LocalCluster, manifests: Manifests) -> list[RunKey]:
    """Store settings and runs; return the keys of the runs and of those that they refer to, in pipeline order."""
    for namespace in {key_of(run).namespace for run in manifests.runs}:
        if manifests.team is not None:
            cluster.put_team(namespace, manifests.team)
    wanted = [key_of(cluster.put_run(run, Path(manifests.places[key_of(run)][0]).parent)) for run in manifests.runs]
    by_key = {key_of(run): run for run in cluster.list_runs()}
    waiting = list(wanted)
    while waiting:
        for reference in references(by_key[waiting.pop()]):
            if reference.target in by_key and reference.target not in wanted:
                wanted.append(reference.target)
                waiting.append(reference.target)
    return [key_of(run) for run in read_runs(cluster.folder) if key_of(run) in wanted]


def check_store(manifests: Manifests, state: Path) -> None:
    """Refuse a store folder that cannot be written, before anything is started; buckets are left to the jobs."""
    settings = manifests.team if manifests.team is not None else read_team(state, key_of(manifests.runs[0]).namespace)
    url = settings.get("storeUrl", "")
    if "://" in url and not url.startswith("file://"):
        return
    given = Path(unquote(urlparse(url).path)) if url else state.absolute() / "store"
    folder = given if given.is_absolute() else state.absolute().parent / given
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
            probe.flush()
    except OSError as error:
        where = f"{manifests.team_place}: data.storeUrl" if manifests.team_place else "storeUrl"
        raise BadManifests([f'{where}: found "{url or folder}": cannot be written ({error.strerror}); name a folder that can']) from error


def mark_up_to_date(session: Session) -> None:
    """Say UpToDate of runs that had succeeded already and for which nothing was executed, in their status too."""
    for each in session.runs():
        key = key_of(each)
        if state_of(each) == "Succeeded" and key not in session.executed:
            for condition in each["status"]["conditions"]:
                if condition["type"] == "Succeeded" and condition["reason"] == "Finished":
                    condition["reason"] = "UpToDate"
                    session.cluster.write_status(each, each["status"])
                    session.controller.wake(key)
    session.controller.work()


def retry(cluster: LocalCluster, keys: list[RunKey], screen: Screen) -> None:
    """Let runs that were given up go on: whoever gives the command again may have mended what stopped them."""
    for key in keys:
        found = cluster.get_run(*key)
        if found is not None and state_of(found) == "Failed" and found["status"].get("attempt"):
            reason = next(item["reason"] for item in found["status"]["conditions"] if item["type"] == "Succeeded")
            screen.say(f"{key.kind} {key.name} ended with {reason} before; it is tried again from its last checkpoint")
            cluster.runs.patch(key, {"retry": counted(found)})


def _explain(cluster: LocalCluster, runs: list[Object], manifests: Manifests) -> int:
    """Say in one line each why runs have not succeeded; return the exit code."""
    by_key = {key_of(each): each for each in runs}
    places = Places(manifests.places, manifests.team_place)
    bad, other = 0, 0
    for each in runs:
        state = state_of(each)
        refusal = refused(each, cluster.children(each["metadata"]["uid"])) if state == "Failed" else None
        bad += refusal is not None
        other += (
            state in ("Pending", "Running", "Suspended", "Stalled")
            or (state == "Waiting" and not for_input(each))
            or (state == "Failed" and refusal is None)
        )
        if state == "Succeeded" or (state == "Waiting" and waits(key_of(each), by_key)):
            continue
        print(line_for(each, refusal, places) if refusal else _line(each))
    blocked = [(key, waits(key, by_key)) for key in by_key]
    for causes in sorted({causes for _, causes in blocked if causes}):
        names = ", ".join(f"{key.kind} {key.name}" for key, found in blocked if found == causes)
        print(f"waiting: {names} for {', '.join(f'{key.kind} {key.name}' for key in causes)}")
    waiting = any(for_input(each) for each in runs)
    return 0 if not (bad or other or waiting) else EXIT_BAD_INPUT if bad and not other else 1


def _line(each: Object) -> str:
    state, name = state_of(each), f"{each['kind']} {each['metadata']['name']}"
    condition: dict[str, str] = next((item for item in each["status"].get("conditions", []) if item["type"] == "Succeeded"), {})
    text = f"{name}: {condition.get('reason', state)}: {condition.get('message', '')}"
    if state == "Failed":
        return f"{text}; the same command tries again from the last checkpoint (astra logs {name} shows what its pods said)"
    return f"{text}; astra resume {name} lets it go on with the same command" if state == "Suspended" else text


def _sum_up(session: Session, seconds: float) -> None:
    count = len(session.keys)
    if not session.executed and all(state_of(each) == "Succeeded" for each in session.runs()):
        print(f"\nall {count} runs are up to date; nothing was executed ({seconds:.1f} s)")
    else:
        print(f"\n{len(session.executed)} of {count} runs executed something ({seconds:.0f} s)")


def _report(cluster: LocalCluster, runs: list[Object], path: Path) -> int:
    store = cluster.team(key_of(runs[0]).namespace)
    problem = write_report(runs, store, path, cluster.kubelet.environment)
    if problem:
        print(f"report: {problem}", file=sys.stderr)
        return 1
    print(f"report: {path}")
    return 0


class _Said(logging.Handler):
    """Shows the operator's warnings as lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        self._say(record.getMessage())
