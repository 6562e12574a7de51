"""Two ranks under the training operator as it is shipped: its own init container, whose image is root, judged by the kubelet's rule."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, condition
from tests.cluster.node_training import DATA, start

STOCK = "for i in $(seq 100); do if nslookup"
REFUSED = "container has runAsNonRoot and image will run as root"


@pytest.fixture(scope="module")
def team(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with Team(node, tmp_path_factory.mktemp("stock"), "stock") as team:
        team.apply(DATA)
        team.succeeded("chainsynthesis/chains", seconds=300)
        yield team


def settings(team: Team, **data: str | None) -> None:
    team.kubectl("patch", "configmap", "astra-team", "--type=merge", "-p", json.dumps({"data": data}))


def worker(team: Team, launch: str) -> dict:
    """Return the worker of a launch once its init container has a state to tell of."""

    def look() -> dict | None:
        found = [pod for pod in team.objects("pods") if pod["metadata"]["name"] == f"{launch}-worker-0"]
        return found[0] if found and found[0].get("status", {}).get("initContainerStatuses") else None

    return team.wait(f"the worker of {launch}", look, 120)


def test_two_ranks_train_under_the_stock_init_container(team: Team) -> None:
    launch = f"{start(team, 'stock')}-0"
    pod = worker(team, launch)
    (box,) = pod["spec"]["initContainers"]
    assert (box["name"], box["image"]) == ("init-pytorch", "alpine:3.10")
    assert STOCK in box["command"][-1], "the control: this is the operator's own template"
    assert "securityContext" not in box
    assert pod["spec"]["securityContext"]["runAsUser"] == 65532
    team.succeeded("sftrun/stock", seconds=300)
    with_level = {"baseline": "created", "restricted": "init-pytorch"}
    for level, said in with_level.items():
        space = team.plane.namespace(level)
        team.plane.kubectl("label", "namespace", space, f"pod-security.kubernetes.io/enforce={level}")
        plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker", "namespace": space}, "spec": dict(pod["spec"])}
        for key in ("nodeName", "nodeSelector", "tolerations", "priority", "preemptionPolicy", "serviceAccount", "serviceAccountName"):
            plain["spec"].pop(key, None)
        done = team.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(plain), check=False)
        assert said in done.stdout + done.stderr, (level, done.stderr)


def test_without_a_user_the_worker_is_refused_and_the_run_says_why(team: Team) -> None:
    """The control: what the pods were before, and what they are where no cluster assigns a user."""
    settings(team, podUser="Assigned")
    try:
        for number in range(100):  # the operator reads a team's settings every ten seconds at most
            name = f"refused-{number}"
            pod = worker(team, f"{start(team, name, limits={'maxRestarts': 0})}-0")
            if "runAsUser" not in pod["spec"]["securityContext"]:
                break
            team.kubectl("delete", "sftrun", name)
        assert "runAsUser" not in pod["spec"]["securityContext"]
        (state,) = [item["state"] for item in pod["status"]["initContainerStatuses"]]
        assert state["waiting"]["reason"] == "CreateContainerConfigError"
        assert state["waiting"]["message"].startswith(REFUSED)

        def told() -> bool:
            run = team.run(f"sftrun/{name}")
            return any(REFUSED in condition(run, kind)["message"] for kind in ("Reconciling", "Stalled"))

        team.wait("the run says why", told, 120)
    finally:
        settings(team, podUser=None)
        team.kubectl("delete", "sftrun", "--all", "--wait=false")
