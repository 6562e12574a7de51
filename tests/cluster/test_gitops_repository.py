"""Git drives the pipeline: commits, reverts and removals of a real repository, applied as GitOps tools do, carried out by real jobs."""

from collections.abc import Iterator
from typing import Any

import pytest

from astra_operator.crdgen.names import NAMES
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, condition
from tests.gitops.repository import AGENT, Repository

Object = dict[str, Any]
pytestmark = pytest.mark.bench  # two minutes
RUNS = ("tools", "chains", "envs", "base", "astra")
EVERY = ",".join(f"{names.plural}.astra.dev" for names in NAMES.values())
SECONDS = 600


class Pipeline:
    """The team's runs as they are now, and what they were when the first commit had been carried out."""

    def __init__(self, team: Team, repository: Repository) -> None:
        self.team, self.repository = team, repository
        self.first: dict[str, Object] = {}

    def runs(self) -> dict[str, Object]:
        """Return the runs by name."""
        return {run["metadata"]["name"]: run for run in self.team.objects(EVERY)}

    def sync(self, **attempts: int) -> dict[str, Object]:
        """Bring the newest commit to the cluster and wait until runs have ended so many attempts more; return all runs."""
        before = self.runs()
        wanted = {name: before[name]["status"]["attempt"]["number"] + more if name in before else more for name, more in attempts.items()}
        self.repository.sync()

        def ended() -> dict[str, Object] | None:
            now = self.runs()
            stalled = {name: condition(run, "Stalled") for name, run in now.items() if condition(run, "Stalled")["status"] == "True"}
            assert not stalled, stalled
            return now if all(name in now and has_ended(now[name], number) for name, number in wanted.items()) else None

        return self.team.wait(f"attempts {wanted} have succeeded", ended, SECONDS)


def has_ended(run: Object, attempt: int) -> bool:
    """Whether a run has succeeded with an attempt, by its newest spec."""
    status = run.get("status", {})
    return (
        status.get("observedGeneration") == run["metadata"]["generation"]
        and condition(run, "Succeeded")["status"] == "True"
        and status["attempt"]["number"] >= attempt
    )


def reasons(runs: dict[str, Object], *names: str) -> set[str]:
    return {condition(runs[name], "Succeeded")["reason"] for name in names}


def untouched(before: dict[str, Object], after: dict[str, Object], *names: str) -> bool:
    """Whether nobody wrote to these runs, not even their status."""
    return all(before[name]["metadata"]["resourceVersion"] == after[name]["metadata"]["resourceVersion"] for name in names)


@pytest.fixture(scope="module")
def pipeline(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The first commit, carried out."""
    with Team(node, tmp_path_factory.mktemp("gitops"), "gitops") as team:
        pipeline = Pipeline(team, Repository(tmp_path_factory.mktemp("git"), node.plane.kubeconfig, team.namespace))
        pipeline.first = pipeline.sync(**dict.fromkeys(RUNS, 1))
        yield pipeline


def test_the_first_commit_runs_every_kind_once(pipeline: Pipeline) -> None:
    assert reasons(pipeline.first, *RUNS) == {"Finished"}
    assert {run["status"]["attempt"]["number"] for run in pipeline.first.values()} == {1}


def test_git_and_the_operator_own_what_is_theirs(pipeline: Pipeline) -> None:
    shown = pipeline.team.objects(EVERY, "--show-managed-fields")
    for run in shown:
        owners = {(entry["manager"], entry["operation"], entry.get("subresource", "")) for entry in run["metadata"]["managedFields"]}
        assert owners == {(AGENT, "Apply", ""), ("astra-operator", "Update", "status")}, run["metadata"]["name"]


def test_the_same_commit_again_changes_nothing(pipeline: Pipeline) -> None:
    before = pipeline.runs()
    pipeline.repository.sync()
    assert untouched(before, pipeline.runs(), *RUNS)


def test_a_hyper_parameter_gives_a_new_attempt_of_its_run_alone_and_a_revert_is_found_in_the_store(pipeline: Pipeline) -> None:
    before = pipeline.runs()
    pipeline.repository.edit("rlrun.yaml", "groupSize: 8", "groupSize: 8, clip: 0.1")
    pipeline.repository.commit("Clip harder")
    changed = pipeline.sync(astra=1)
    assert reasons(changed, "astra") == {"Finished"}
    assert changed["astra"]["status"]["artifact"] != before["astra"]["status"]["artifact"]
    pipeline.repository.revert()
    reverted = pipeline.sync(astra=1)
    assert reasons(reverted, "astra") == {"UpToDate"}
    assert reverted["astra"]["status"]["artifact"] == before["astra"]["status"]["artifact"]
    assert untouched(before, reverted, "tools", "chains", "envs", "base")


def test_a_run_that_is_pruned_and_comes_back_is_found_in_the_store(pipeline: Pipeline) -> None:
    before = pipeline.runs()
    pipeline.repository.edit("kustomization.yaml", ", rlrun.yaml", "")
    pipeline.repository.commit("Stop reinforcing")
    assert "rlrun.astra.dev/astra pruned" in pipeline.repository.sync()
    pipeline.team.wait("its objects go with it", lambda: not pipeline.team.objects("jobs,pods,configmaps", "-l", "astra.dev/run=astra"))
    pipeline.repository.revert()
    after = pipeline.sync(astra=1)
    assert after["astra"]["metadata"]["uid"] != before["astra"]["metadata"]["uid"]
    assert (reasons(after, "astra"), after["astra"]["status"]["attempt"]["number"]) == ({"UpToDate"}, 1)
    assert after["astra"]["status"]["artifact"] == before["astra"]["status"]["artifact"]
    assert untouched(before, after, "tools", "chains", "envs", "base")


def test_a_source_runs_what_is_downstream_unless_that_ignores_it_and_a_revert_is_found_in_the_store(pipeline: Pipeline) -> None:
    before = pipeline.runs()
    pipeline.repository.edit("toolcorpus.yaml", "servers: 120", "servers: 121")
    pipeline.repository.commit("One more server")
    check_source(pipeline, before, "tools", "chains")


def test_a_source_runs_everything_downstream(pipeline: Pipeline) -> None:
    pipeline.repository.edit("sftrun.yaml", "onInputChange: Ignore", "onInputChange: Finish")
    pipeline.repository.commit("Follow the conversations")
    before = pipeline.sync(base=0)
    assert before["base"]["status"]["attempt"] == pipeline.first["base"]["status"]["attempt"], "the policy is not what is made"
    pipeline.repository.edit("toolcorpus.yaml", "servers: 120", "servers: 121")
    pipeline.repository.commit("One more server")
    check_source(pipeline, before, "tools", "chains", "base", "astra")


def check_source(pipeline: Pipeline, before: dict[str, Object], *downstream: str) -> None:
    """Check a commit that changes these runs or their inputs, and its revert; nobody else's run is touched."""
    rest = [name for name in RUNS if name not in downstream]
    changed = pipeline.sync(**dict.fromkeys(downstream, 1))
    assert reasons(changed, *downstream) == {"Finished"}
    assert all(changed[name]["status"]["artifact"] != before[name]["status"]["artifact"] for name in downstream)
    opened = {name: changed[name]["status"]["attempt"]["number"] - before[name]["status"]["attempt"]["number"] for name in downstream}
    assert opened == dict.fromkeys(downstream, 1), "one attempt each, no more"
    pipeline.repository.revert()
    reverted = pipeline.sync(**dict.fromkeys(downstream, 1))
    assert reasons(reverted, *downstream) == {"UpToDate"}
    assert all(reverted[name]["status"]["artifact"] == pipeline.first[name]["status"]["artifact"] for name in downstream)
    assert untouched(before, reverted, *rest)
