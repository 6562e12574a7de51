"""Random lives of five runs, once undisturbed and once with the reconciler killed at random calls of the cluster.

Both must look the same after every step; nothing is ever executed twice; at the end every run has the artifact that a fresh
cluster would have made from the final specs.
"""

import contextlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.v1alpha1.status import REASONS, Status
from astra_operator.clusters.base import RunKey, key_of
from astra_operator.settings import OperatorSettings
from tests.reconcile.harness import NAMES, SPECS, Object, Player, bad

PACE = OperatorSettings(poll=10, progress_interval=30, first_restart_delay=0, code_version="1.0")
LIMITS = {"maxRestarts": 2, "stallSeconds": 100, "deadlineSeconds": 100_000}


class Killed(BaseException):
    """The operator's process is gone."""


class Fragile(Player):
    """A player whose controller dies at the n-th call that changes the cluster, before or after it takes effect.

    A death at a reading call leaves what a death right after the writing call before it leaves, so only those are counted.
    """

    def work_with_kill(self, call: int, moment: str) -> None:
        left = call

        def fault(when: str, what: str) -> None:
            nonlocal left
            if when == moment and what in ("apply", "delete", "write_status"):
                left -= 1
                if left == 0:
                    raise Killed

        self.cluster.fault = fault
        with contextlib.suppress(Killed):
            self.work()
        self.cluster.fault = lambda when, what: None
        self.restart()
        self.work()


def place(pod: Object) -> tuple[str, ...]:
    """Name a pod by what it does, restart left out: a kill may use up a restart number."""
    labels = pod["metadata"]["labels"]
    role = labels.get("training.kubeflow.org/replica-type", "")
    return (*(labels[f"astra.dev/{key}"] for key in ("kind", "run", "attempt", "stage")), role, pod["metadata"]["name"].rsplit("-", 1)[1])


def alive(player: Player) -> list[Object]:
    return sorted((pod for pod in player.pods() if pod["status"]["phase"] in ("Pending", "Running")), key=place)


def picture(player: Player) -> Any:
    """What people see: statuses without messages (they name launches), and which pods live."""
    statuses = {}
    for key, run in player.cluster.runs.items():
        status = Status.model_validate(run["status"])
        conditions = {item.type: (item.status, item.reason, item.observed_generation) for item in status.conditions}
        attempt = (status.attempt.number, status.attempt.digest, status.attempt.restarts) if status.attempt else None
        statuses[key] = (
            conditions,
            attempt,
            status.stage,
            status.artifact,
            status.artifacts,
            [item.model_dump() for item in status.history],
        )
    return statuses, [(place(pod), pod["status"]["phase"]) for pod in alive(player)]


class Lives(RuleBasedStateMachine):
    """Two clusters that are told the same; one loses its operator now and then."""

    @initialize()
    def begin(self) -> None:
        self.calm, self.fragile = Player(PACE), Fragile(PACE)
        self.specs: dict[Kind, Object] = {}
        for kind in KINDS:
            self._put(kind, limits=LIMITS)
        self._work(0, "before")

    @property
    def both(self) -> tuple[Player, Fragile]:
        return self.calm, self.fragile

    def _put(self, kind: Kind, **changes: Any) -> None:
        self.specs[kind] = self.specs.get(kind, SPECS[kind]) | changes
        for player in self.both:
            player.put(kind, **self.specs[kind])

    def _work(self, call: int, moment: str) -> None:
        self.calm.work()
        if call:
            self.fragile.work_with_kill(call, moment)
        else:
            self.fragile.work()

    def _end_pod(self, choice: int, how: Any) -> None:
        for player in self.both:
            pods = alive(player)
            if pods:
                how(player, pods[choice % len(pods)])

    # ---- what users do

    @rule(kind=st.sampled_from(KINDS), seed=st.integers(0, 3))
    def edit(self, kind: Kind, seed: int) -> None:
        self._put(kind, seed=seed)

    @rule(kind=st.sampled_from(KINDS), restarts=st.integers(0, 3))
    def edit_operational(self, kind: Kind, restarts: int) -> None:
        self._put(kind, limits=LIMITS | {"maxRestarts": restarts})

    @rule(kind=st.sampled_from(KINDS), policy=st.sampled_from(["Finish", "Replace"]))
    def choose_policy(self, kind: Kind, policy: str) -> None:
        self._put(kind, onInputChange=policy)

    @rule(kind=st.sampled_from(KINDS), suspend=st.booleans())
    def suspend(self, kind: Kind, suspend: bool) -> None:
        self._put(kind, suspend=suspend)

    @rule(kind=st.sampled_from(KINDS), token=st.sampled_from(["", "a", "b"]))
    def rerun(self, kind: Kind, token: str) -> None:
        self._put(kind, rerun=token)

    @rule(kind=st.sampled_from(KINDS))
    def spoil(self, kind: Kind) -> None:
        for player in self.both:
            player.put(kind, **self.specs[kind], nonsense=1)

    @rule(kind=st.sampled_from(KINDS))
    def remove(self, kind: Kind) -> None:
        for player in self.both:
            player.cluster.remove_run(RunKey(kind, "default", NAMES[kind]))

    @rule(kind=st.sampled_from(KINDS))
    def put_back(self, kind: Kind) -> None:
        self._put(kind)

    # ---- what nodes do

    @rule(choice=st.integers(0, 9))
    def start_pod(self, choice: int) -> None:
        self._end_pod(choice, lambda player, pod: player.cluster.start(pod) if pod["status"]["phase"] == "Pending" else None)

    @rule(choice=st.integers(0, 9), reused=st.booleans())
    def pod_succeeds(self, choice: int, reused: bool) -> None:
        self._end_pod(choice, lambda player, pod: player.succeed(pod, reused))

    @rule()
    def all_pods_succeed(self) -> None:
        for player in self.both:
            player.run_pods()

    @rule(choice=st.integers(0, 9), code=st.sampled_from([1, 75, 78, 85, 137]), checkpoint=st.integers(0, 3))
    def pod_fails(self, choice: int, code: int, checkpoint: int) -> None:
        result = bad("StoreUnavailable", "no store", code, checkpoint) if code in (75, 78, 85) else None
        self._end_pod(choice, lambda player, pod: player.cluster.finish(pod, result, code))

    @rule(choice=st.integers(0, 9))
    def pod_is_lost(self, choice: int) -> None:
        self._end_pod(choice, lambda player, pod: player.cluster.lose(pod))

    @rule(choice=st.integers(0, 9))
    def pod_vanishes(self, choice: int) -> None:
        self._end_pod(choice, lambda player, pod: player.cluster.vanish(pod))

    @rule(choice=st.integers(0, 9))
    def workload_vanishes(self, choice: int) -> None:
        def remove(player: Player, pod: Object) -> None:
            owner = pod["metadata"]["ownerReferences"][0]
            player.cluster.vanish({"kind": owner["kind"], "metadata": {"name": owner["name"]}})

        self._end_pod(choice, remove)

    @rule(seconds=st.sampled_from([5, 50, 150]))
    def time_passes(self, seconds: int) -> None:
        for player in self.both:
            player.cluster.advance(seconds)

    # ---- what the operator suffers

    @rule(call=st.integers(0, 8), moment=st.sampled_from(["before", "after"]))
    def work(self, call: int, moment: str) -> None:
        self._work(call, moment)
        assert picture(self.calm) == picture(self.fragile)

    @invariant()
    def nothing_runs_twice(self) -> None:
        for player in getattr(self, "both", ()) if hasattr(self, "calm") else ():
            twice = [name for name, count in Counter(player.cluster.launched).items() if count > 1]
            assert not twice, f"launched again: {twice}"
            assert not player.cluster.overlaps

    @invariant()
    def status_is_sound(self) -> None:
        for player in self.both if hasattr(self, "calm") else ():
            for run in player.cluster.runs.values():
                status = Status.model_validate(run["status"])
                assert all(item.reason in REASONS for item in status.conditions)
                truths = {item.type for item in status.conditions if item.status == "True"}
                assert not {"Reconciling", "Stalled"} <= truths
                assert not {"Succeeded", "Stalled"} <= truths

    def teardown(self) -> None:
        if not hasattr(self, "calm"):
            return
        for kind in KINDS:
            self._put(kind, suspend=False, limits=LIMITS | {"maxRestarts": 1000})
        for player in self.both:
            player.finish()
            for kind in KINDS:
                if player.reasons(RunKey(kind, "default", NAMES[kind]))["Stalled"].startswith("True"):
                    self.specs[kind] = self.specs[kind] | {"rerun": "final"}
        for kind in KINDS:
            self._put(kind)
        fresh = Player(PACE)
        for kind in KINDS:
            fresh.put(kind, **self.specs[kind])
        fresh.finish()
        for player in self.both:
            player.finish()
            for key in player.cluster.runs:
                assert player.reasons(key)["Succeeded"].startswith("True"), (key, player.reasons(key))
                assert player.status(key).artifact == fresh.status(key).artifact, key
                assert player.status(key).artifacts == fresh.status(key).artifacts, key
            self._no_orphan(player)
            self.nothing_runs_twice()

    def _no_orphan(self, player: Player) -> None:
        """After the end each run owns one attempt, and of each stage one launch's workload."""
        uids = {run["metadata"]["uid"]: key_of(run) for run in player.cluster.runs.values()}
        attempts: Counter[str] = Counter()
        stages: Counter[tuple[str, str]] = Counter()
        for (kind, _, _), item in player.cluster.objects.items():
            labels = item["metadata"]["labels"]
            assert labels["astra.dev/run-uid"] in uids
            if kind == "ConfigMap" and "attempt.json" in item["data"]:
                attempts[labels["astra.dev/run-uid"]] += 1
            if kind in ("Job", "PyTorchJob"):
                stages[labels["astra.dev/run-uid"], labels["astra.dev/stage"]] += 1
        assert all(count == 1 for count in attempts.values()), attempts
        assert all(count == 1 for count in stages.values()), stages


def test_random_lives_end_well() -> None:
    run_state_machine_as_test(
        Lives, settings=settings(max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )


@pytest.mark.bench
def test_thousands_of_random_lives_end_well() -> None:
    run_state_machine_as_test(
        Lives, settings=settings(max_examples=2000, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    )
