"""Leads stories on a real control plane, while the operators that serve their namespaces are killed."""

import contextlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from astra_jobs.api.artifact import Kind
from astra_operator.clusters.base import parse_time
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from tests.cluster.faults.player import MANAGED, Plain, PodPlayer
from tests.cluster.lives_story import Calm, Story, orphans, pod_end, told, written
from tests.cluster.lives_watch import Recorder, made_twice, overlaps, played_twice
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import IDENTITY, OperatorTeam
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.reconcile.harness import NAMES, Object

CHILDREN = ("/api/v1/{}/configmaps", "/apis/batch/v1/{}/jobs", "/apis/kubeflow.org/v1/{}/pytorchjobs", "/api/v1/{}/pods")
ASKED, LONGEST = 4, 300
LONGEST_POD = 3.0
DEATHS, MOST_STEPS = 5, 20
"""So often an operator is killed at most, each time when it has taken at most so many steps since its start."""


class Life:
    """A story in a namespace of its own, and what became of it."""

    def __init__(self, plane: ControlPlane, plain: Plain, story: Story) -> None:
        self.story = story
        self.calm = Calm(story)
        self.team = OperatorTeam(plane, "lives")
        self.namespace = self.team.namespace
        self._plain = plain

    def lead(self, over: threading.Event) -> None:
        """Do every act in its time, and wait until people see what they see on a calm day; stops when all is over."""
        for acts, picture in ((self.story.acts, self.calm.middle), (self.story.last, self.calm.end)):
            for act in acts:
                over.wait(act.after)
                act.on(self._put, lambda kind: self._ask("DELETE", self._path(kind)))
            self._reach(picture, over)

    def _reach(self, picture: dict[Kind, Any], over: threading.Event) -> None:
        """Wait until every run looks as given, and no object is left over."""

        def told_and_tidy() -> bool:
            # The last of the cast mostly comes last: twenty lives that ask for everything all the time would be a load of their own.
            alike = all(told(self._run(kind)) == picture[kind] for kind in reversed(self.story.cast))
            return over.is_set() or (alike and not self.leftovers())

        try:
            wait_for("", told_and_tidy, LONGEST, every=1)
        except AssertionError:
            seen = self.picture()
            wrong = [f"{kind}: {seen[kind]}\n  and not {picture[kind]}" for kind in picture if seen[kind] != picture[kind]]
            raise AssertionError("\n".join([f"seed {self.story.seed} in {self.namespace}:", *wrong, *self.leftovers()])) from None

    def picture(self) -> dict[Kind, Any]:
        """Return what people see of every run."""
        return {kind: told(self._run(kind)) for kind in self.story.cast}

    def leftovers(self) -> list[str]:
        """Name what is there and should not be."""
        objects = self.objects()  # before the runs: what belongs to a run that was made since is no orphan
        return orphans([run for kind in self.story.cast if (run := self._run(kind))], objects)

    def objects(self) -> list[Object]:
        """Return everything that the operator made, and its pods."""
        found = []
        for path in CHILDREN:
            listed = self._ask("GET", path.format(f"namespaces/{self.namespace}") + f"?labelSelector={MANAGED}")
            found += [item | {"kind": listed["kind"].removesuffix("List")} for item in listed["items"]]
        return found

    def _put(self, kind: Kind, spec: Object) -> None:
        answer = self._ask("PATCH", self._path(kind), {"spec": spec})
        if answer.get("code") == 404:
            answer = self._ask("POST", self._path(kind).rpartition("/")[0], written(kind, spec))
        assert answer["kind"] == kind or answer["reason"] == "AlreadyExists", answer

    def _run(self, kind: Kind) -> Object | None:
        answer = self._ask("GET", self._path(kind))
        assert answer["kind"] == kind or answer["code"] == 404, answer
        return answer if answer["kind"] == kind else None

    def _ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """Ask again where no answer came: an API server on a busy machine is slow at times."""
        for _ in range(ASKED):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return self._plain.ask(method, path, body)
        return self._plain.ask(method, path, body)

    def _path(self, kind: Kind) -> str:
        return RESOURCE_OF[kind].path(self.namespace, NAMES[kind])


class Mortal:
    """An operator of some lives that is killed again and again, each time after some steps. ``deaths`` holds the last step before each."""

    def __init__(self, plane: ControlPlane, lives: list[Life], folder: Path, number: int) -> None:
        self.lives = lives
        namespaces = [life.namespace for life in lives]
        kubeconfig = plane.user_kubeconfig(IDENTITY)
        self.operator = OperatorProcess(kubeconfig, namespaces, folder, f"operator-{number}", ASTRA_WORKERS="2", ASTRA_LEASE_SECONDS="6")
        self.deaths: list[str] = []
        self._chance = random.Random(number)

    def live(self, over: threading.Event) -> None:
        """Die and come back some times, or until it is over; it lives then."""
        self.operator.start(wait=False)
        for _ in range(DEATHS):
            wanted = self._chance.randint(1, MOST_STEPS)
            while len(self._steps()) < wanted and not over.wait(0.05):
                self.operator.program.require()
            over.wait(self._chance.uniform(0, 0.15))  # a step is logged once it is taken, and death may come within one
            if over.is_set():
                return
            self.die()

    def die(self) -> None:
        """Be killed with -9, and started again."""
        self.operator.signal(signal.SIGKILL)
        self.operator.program.wait(60)
        self.deaths.append(["none", *self._steps()][-1])
        self.operator.start(wait=False)

    def seen(self) -> float:
        """Return how many looks at runs it has taken since its start."""
        self.operator.program.require()
        serving = self.operator._port() is not None and self.operator.healthy()
        return self.operator.metric("astra_reconciles_total") if serving else 0

    def _steps(self) -> list[str]:
        whole = self.operator.log()[self.operator._log_from :].rpartition("\n")[0]
        return [json.loads(line)["step"] for line in whole.splitlines() if '"step": ' in line]


def ended(living: list[Future[None]], dying: list[Future[None]], over: threading.Event) -> None:
    """Wait until all lives have ended, or one has failed; then it is over for the operators too, and what failed is raised."""
    wait(living, return_when=FIRST_EXCEPTION)
    over.set()
    for outcome in [*dying, *living]:
        outcome.result()


class World:
    """Lives, their operators, and the record of what happened to their objects."""

    def __init__(self, plane: ControlPlane, stories: list[Story], operators: int, folder: Path) -> None:
        self.plane = plane
        self.plain = Plain(plane)
        with ThreadPoolExecutor(4) as pool:
            self.lives = list(pool.map(partial(Life, plane, self.plain), stories))
        self.mortals = [Mortal(plane, self.lives[number::operators], folder, number) for number in range(operators)]
        self.recorder = Recorder(plane)
        self.seconds = 0.0

    @contextmanager
    def led(self) -> Iterator[None]:
        """Lead all lives to their ends under kills; inside, the operators have ended and the record goes on."""
        over, begun = threading.Event(), time.monotonic()
        try:
            with self.recorder, ThreadPoolExecutor(len(self.lives) + len(self.mortals)) as pool:
                with PodPlayer(self.plane, self._script):
                    dying = [pool.submit(mortal.live, over) for mortal in self.mortals]
                    living = [pool.submit(life.lead, over) for life in self.lives]
                    ended(living, dying, over)
                    self.seconds = time.monotonic() - begun
                    self._come_back(pool)
                yield
        finally:
            for mortal in self.mortals:
                mortal.operator.close()
            self.plain.close()

    def _script(self, pod: Object) -> Any:
        """Let a pod of a life end some moments after it was made."""
        metadata = pod["metadata"]
        story = next((life.story for life in self.lives if life.namespace == metadata["namespace"]), None)
        age = (datetime.now(UTC) - parse_time(metadata["creationTimestamp"])).total_seconds()
        if story is None or age < random.Random(metadata["name"]).uniform(0, LONGEST_POD):
            return None
        return partial(pod_end, story.seed, metadata["ownerReferences"][0]["name"])

    def _come_back(self, pool: ThreadPoolExecutor) -> None:
        """Kill every operator once more: one that comes to a finished namespace leaves it as it is."""
        for each in [pool.submit(mortal.die) for mortal in self.mortals]:
            each.result()
        for mortal in self.mortals:
            runs = sum(run is not None for life in mortal.lives for run in life.picture().values())
            wait_for("it has looked at every run", lambda mortal=mortal, runs=runs: mortal.seen() >= runs, LONGEST, every=0.5)
            mortal.operator.close()

    def wrongs(self, life: Life) -> list[str]:
        """Name everything that must not have happened in a life."""
        workloads = [event for kind in ("Job", "PyTorchJob") for event in self.recorder.of(kind, life.namespace)]
        pods = self.recorder.of("Pod", life.namespace)
        return [*made_twice(workloads), *played_twice(pods), *overlaps(pods), *life.leftovers()]
