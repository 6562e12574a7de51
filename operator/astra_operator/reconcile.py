"""The four sentences: observe, build, apply, report. Generic over the five kinds and over clusters.

Every pass starts from what the cluster says and takes one step; nothing is kept in memory between passes, so the process may
die at any point (but for how long pods have been silent, see ``_note_silence``). A pass is repeated until there is nothing to do but wait.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.common import OPERATOR
from astra_operator import attempts
from astra_operator.causes import REFUSALS, Hint, hint, reason_of
from astra_operator.clusters.base import Cluster, ClusterError, Conflict, Event, Object, Refused, RunKey, parse_time
from astra_operator.desired.launch import LaunchPlan, attempt_config, launch_objects, with_end
from astra_operator.desired.naming import STACKS_ANNOTATION
from astra_operator.desired.sandbox import pool_objects
from astra_operator.events import of_status, of_step
from astra_operator.frozen import read_live
from astra_operator.observed import encode_end, observe
from astra_operator.obstacles import Obstacle, missing_runtime, missing_software
from astra_operator.patience import Reports
from astra_operator.resolve import Readers, resolve
from astra_operator.settings import OperatorSettings, TeamSettings, parse_team
from astra_operator.site import Site
from astra_operator.stacks import gather
from astra_operator.status import status_of
from astra_operator.steps import Forgo, Mark, Open, Remove, Rest, Serve, Start, Step, next_step
from astra_operator.view import View, name_of
from astra_operator.waits import unexplained, unexplained_pod

ASKERS, ASKED_IN_TURN = 16, 4
BLOCKED_SECONDS = 60.0
"""After this time a step that the cluster refused is tried again: what refused it mostly makes no event here."""

PASSING_SECONDS = 60.0
"""So long after a run was made nobody is told of what an earlier one of its name has left: the garbage collector is at work."""

UNEXPLAINED = ("Vanished", "Unread")
"""Ends of launches whose pods are not seen: before one is taken for true, the cluster is asked if its pods are only late."""


class Reconciler:
    """Moves runs towards what their specs ask for. ``taken`` is told of every step that was taken, by the thread that took it."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, taken: Callable[[View, Step], None] = lambda view, step: None) -> None:
        self.cluster = cluster
        self.settings = settings
        self.taken = taken
        self.readers = Readers()
        self._askers = ThreadPoolExecutor(ASKERS, "progress")
        self._silent: dict[str, dict[str, datetime]] = {}

    def reconcile(self, key: RunKey) -> "Outcome":
        """Take steps until the run can only wait; raises ``ClusterError`` when a call fails, after which it is simply called again."""
        written = False
        while True:
            run = self.cluster.get_run(*key)
            if run is None or run["metadata"].get("deletionTimestamp"):
                return Outcome(None, written, gone=True)  # what it owned goes by ownerReferences
            if (run.get("spec") or {}).get("managedBy") not in (None, OPERATOR):
                return Outcome(None, written)  # another controller's: nothing of it is read or written, its status least of all
            view = self.observe(run)
            step = next_step(view)
            if isinstance(step, Rest):
                return Outcome(step.seconds, self.report(view) or written)
            if _needs_pods(step) and self.cluster.refresh_pods(run):
                continue
            # The old attempt's last word must be in status before a new attempt takes its place.
            if isinstance(step, Open) and view.seen.frozen is not None and self.report(view, opening=True):
                written = True
                continue
            taken = self._take(view, step)
            if isinstance(taken, Obstacle):
                return Outcome(BLOCKED_SECONDS, self.report(replace(view, obstacle=taken)) or written)
            if not taken:
                # What the step makes is there already, so the observation was older than the cluster: look again later.
                return Outcome(self.settings.poll, written)
            self.taken(view, step)
            self._tell(view, of_step(view, step))
            if isinstance(step, Start):
                # Now its pods have to do something. Others go first: of a thousand runs applied at once, none waits for another's status.
                return Outcome(0.0, written)

    def observe(self, run: Object) -> View:
        """Read everything that the run's next step depends on."""
        self.readers.note(run)
        children = self.cluster.children(run["metadata"]["uid"])
        view = View(
            run=run,
            live=read_live(run),
            resolution=resolve(run, lambda key: self.cluster.get_run(*key)),
            seen=observe(children),
            team=self._team(run["metadata"].get("namespace", "default")),
            settings=self.settings,
            now=self.cluster.now(),
        )
        view = replace(view, terminating=self._terminating(view), hint=self._hint(view))
        reports = self._ask(_reporting(view))
        silent = self._note_silence(run["metadata"]["uid"], [name for name, report in reports.items() if report is None], view.now)
        return replace(view, reports=reports, silent=silent) if reports else view

    def _terminating(self, view: View) -> bool:
        """Tell if the namespace is being deleted. Asked only when pods go that nobody here told to: that is how it begins."""
        going = any(launch.deserted for launch in view.seen.launches)
        return going and self.cluster.terminating(view.run["metadata"].get("namespace", "default"))

    def _hint(self, view: View) -> Hint | None:
        """Ask events why nothing starts, where neither the workload nor its pods tell."""
        item = unexplained(view.launch, view.now) if view.launch else None
        if item is None and view.pool is not None:
            item = unexplained_pod(view.pool, view.now)
        return hint(item["metadata"]["name"], self.cluster.warnings(item)) if item else None

    def _take(self, view: View, step: Step) -> bool | Obstacle:
        """Take a step; return False when somebody had taken it before, or what the cluster has against it.

        What it refuses leaves nothing behind. Only who has made a request makes its workload, for a request that exists has had its own;
        one without its workload would count as a loss, so it goes again when the workload is refused. A run that was refused before asks
        by a dry run first.
        """
        if isinstance(step, Serve):
            return self._serve(view, step)
        first, rest = _makes(view, step)
        if first is None:
            self._end(view, step)
            return True
        missing = missing_software(rest[0], self.cluster.serves) if rest else None
        if missing is not None:
            return missing
        try:
            if rest and _refused_before(view):
                self.cluster.admit(rest, view.run)
            if not self.cluster.apply([first], view.run):
                return False
            return not rest or self._apply_to(first, rest, view.run)
        except Refused as error:
            return Obstacle(reason_of(str(error), "Refused"), str(error))
        except Conflict as error:
            return _name_taken(view, error)

    def _serve(self, view: View, step: Serve) -> bool | Obstacle:
        """Make or mend a sandbox pool. What of it is refused is made once it is allowed; what is there stays until then."""
        assert step.plan.frozen.runtime_class, "a pool has a RuntimeClass"
        try:
            missing = missing_runtime(step.plan.frozen.runtime_class, self.cluster.has_runtime)
            return missing or bool(self.cluster.apply(pool_objects(step.plan), view.run))
        except Refused as error:
            return Obstacle(reason_of(str(error), "Refused"), str(error))
        except Conflict as error:
            return _name_taken(view, error)

    def _apply_to(self, request: Object, workload: list[Object], run: Object) -> bool:
        """Make the workload of a request that was made just now; one that cannot be leaves no request."""
        try:
            return bool(self.cluster.apply(workload, run))
        except (Refused, Conflict):
            slot = (request["kind"], request["metadata"]["name"])
            for item in self.cluster.children(run["metadata"]["uid"]):
                if (item["kind"], item["metadata"]["name"]) == slot:
                    self.cluster.delete(item)
            raise

    def _end(self, view: View, step: Step) -> None:
        """Take a step that makes nothing."""
        if isinstance(step, Remove):
            for item in step.objects:
                self.cluster.delete(item)
        elif isinstance(step, Mark):
            self._mark(view, step)

    def _mark(self, view: View, step: Mark) -> None:
        """Keep why a launch ends, and what a stuck one was doing: afterwards its pods are deleted, and nobody could ask them."""
        launch, end = step.launch, step.end
        stacks = gather(launch, self.cluster.stacks) if end.cause == "Stuck" else ""
        if stacks:
            end = end.model_copy(update={"message": f"{end.message}; stacks: annotation {STACKS_ANNOTATION} of ConfigMap {launch.name}"})
        self.cluster.apply([with_end(launch.config, encode_end(end), stacks)], view.run)

    def _ask(self, pods: list[Object]) -> Reports:
        """Ask pods how far they are: many at once, because each that cannot be reached takes its whole time."""
        ask = self.cluster.progress
        answers = list(self._askers.map(ask, pods) if len(pods) > ASKED_IN_TURN else map(ask, pods))
        return {pod["metadata"]["name"]: answer for pod, answer in zip(pods, answers, strict=True)}

    def _note_silence(self, uid: str, names: list[str], now: datetime) -> dict[str, datetime]:
        """Return since when pods do not answer. Kept in memory only: an operator that starts anew is patient once more."""
        since = {name: self._silent.get(uid, {}).get(name, now) for name in names}
        if since:
            self._silent[uid] = since
        else:
            self._silent.pop(uid, None)
        return since

    def report(self, view: View, opening: bool = False) -> bool:
        """Write status when it differs from what is stored; return whether it did."""
        status = status_of(view, opening)
        if status == view.run.get("status"):
            return False
        self.cluster.write_status(view.run, status)
        self._tell(view, of_status(view, status))
        return True

    def _tell(self, view: View, event: Event | None) -> None:
        """Leave a line for people; whatever becomes of it, the run goes on."""
        if event is not None:
            with contextlib.suppress(ClusterError):
                self.cluster.event(view.run, event)

    def _team(self, namespace: str) -> TeamSettings | BadInput:
        try:
            return parse_team(self.cluster.team(namespace), namespace)
        except BadInput as error:
            return error


class Outcome:
    """How a reconcile left a run: when to look again by the clock (None: only after an event), and whether its status changed."""

    def __init__(self, again: float | None, changed: bool, gone: bool = False) -> None:
        self.again = again
        self.changed = changed
        self.gone = gone


def _needs_pods(step: Step) -> bool:
    """Tell if a step is wrong where pods are only late: they may explain an end, and a pool's policy goes after its last pod."""
    if isinstance(step, Remove):
        return any(item["kind"] == "NetworkPolicy" for item in step.objects)
    return isinstance(step, Mark) and step.end.cause in UNEXPLAINED


def _refused_before(view: View) -> bool:
    condition = view.stored.condition("Stalled")
    return condition is not None and condition.status == "True" and condition.reason in REFUSALS


def _name_taken(view: View, error: Conflict) -> Obstacle:
    """Return an obstacle for a name that somebody else's object has; one that goes by itself gets the time for it, and is raised again."""
    age = (view.now - parse_time(view.run["metadata"]["creationTimestamp"])).total_seconds()
    if error.passing and age < PASSING_SECONDS:
        raise error
    return Obstacle("NameTaken", str(error))


def _makes(view: View, step: Step) -> tuple[Object | None, list[Object]]:
    """Return what a step makes: its first object, if it makes any, and what is made only after that."""
    if isinstance(step, Open):
        return _attempt(view, step), []
    if isinstance(step, Start):
        request, workload = _launch(view, step)
        return request, [workload]
    if isinstance(step, Forgo):
        request, _ = _launch(view, step)
        return with_end(request, encode_end(step.end)), []
    return None, []


def _attempt(view: View, step: Open) -> Object:
    assert view.resolution.inputs is not None, "an attempt opens with its inputs"
    assert isinstance(view.team, TeamSettings), "an attempt opens with settings"
    site = Site(view.team, view.settings, view.now)
    return attempt_config(name_of(view.run), attempts.freeze(view.run, view.live, view.resolution.inputs, step.number, site))


def _launch(view: View, step: Start | Forgo) -> tuple[Object, Object]:
    assert view.seen.frozen is not None, "a launch belongs to an attempt"
    return launch_objects(name_of(view.run), view.seen.frozen, LaunchPlan(step.stage, step.restart, view.spec, view.results))


def _reporting(view: View) -> list[Object]:
    """Return the running pods that report progress: every shard, and of a training job rank 0."""
    if view.launch is None or view.launch.end is not None or view.current is None:
        return []
    names = {pod.name for pod in view.launch.pods if pod.phase == "Running" and pod.index < view.launch.request.shards}
    return [item for item in view.launch.objects if item["kind"] == "Pod" and item["metadata"]["name"] in names]
