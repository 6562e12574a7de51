"""`kubectl astra` found by kubectl, on real runs of the real operator whose pods are real processes."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from astra_cli.kubectl import main
from tests.cluster.node_process import NodeProcess
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane import tools
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.patience import patience

RUNS = """
apiVersion: astra.dev/v1alpha1
kind: ToolCorpus
metadata: {name: tools}
spec: {sources: [{name: worlds, procedural: {servers: 8, worlds: {entityTypes: 2, rows: 3, maxHops: 1, parallel: 0}}}]}
---
apiVersion: astra.dev/v1alpha1
kind: ChainSynthesis
metadata: {name: chains}
spec: {corpus: {name: tools}, author: {procedural: {}}, walks: {minLength: 1, maxLength: 2, perServer: 6}, shards: 2}
"""
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")
TIME = re.compile(r"\b(\d+m)?\d+s\b")


class Person:
    """Somebody at a terminal. Words are carried out in this process: loading the client anew each time costs seconds."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def says(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*words, "-n", self.namespace, "--kubeconfig", str(self.kubeconfig)])
        return code, out.getvalue(), err.getvalue()

    def does(self, *words: str) -> str:
        code, out, err = self.says(*words)
        assert (code, err) == (0, ""), (code, out, err)
        return out


@pytest.fixture(scope="module")
def namespace(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A namespace with a corpus and conversations that are done, and the operator that has made them."""
    name = node.namespace("kubectl")
    plane = node.plane
    with OperatorProcess(plane.kubeconfig, [name], tmp_path_factory.mktemp("operator")):
        plane.kubectl("-n", name, "apply", "-f", "-", stdin=RUNS)
        plane.kubectl(
            "-n", name, "wait", "--for=condition=Succeeded", "chainsynthesis/chains", "toolcorpus/tools", f"--timeout={patience(180):.0f}s"
        )
        yield name
        plane.kubectl("-n", name, "delete", "astra", "--all", "--wait=false")
        wait_for("no pod is left", lambda: not plane.kubectl("-n", name, "get", "pods", "-o", "name").stdout, 60)


@pytest.fixture
def person(plane: ControlPlane, namespace: str) -> Person:
    return Person(plane.kubeconfig, namespace)


@pytest.fixture
def get(plane: ControlPlane, namespace: str) -> Callable[..., Any]:
    """Read objects by kubectl."""
    return lambda *words: json.loads(plane.kubectl("-n", namespace, "get", *words, "-o", "json").stdout)


def plain(text: str) -> str:
    return TIME.sub("TIME", DIGEST.sub("DIGEST", text))


def test_kubectl_finds_it_as_its_plugin(person: Person) -> None:
    kubectl = tools.program("kubectl")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(person.kubeconfig)}
    command = [kubectl, "astra", "status", "-n", person.namespace]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert plain(done.stdout) == plain(person.does("status"))


def test_status_is_a_tree(person: Person) -> None:
    assert plain(person.does("status")) == (
        "ToolCorpus tools: Succeeded, artifact DIGEST, TIME old\nChainSynthesis chains: Succeeded, artifact DIGEST, TIME old\n"
    )
    tree = plain(person.does("status", "chsyn/chains"))
    assert tree == plain(person.does("status", "chains"))
    assert tree == (
        "ChainSynthesis chains: Succeeded, artifact DIGEST, TIME old\n"
        "├─ inputs\n"
        "│  └─ corpus: ToolCorpus tools: Succeeded, artifact DIGEST\n"
        "└─ attempt 1, DIGEST, began TIME ago\n"
        "   ├─ stage synthesise: done, 2 artifacts\n"
        "   └─ stage merge: done, artifact DIGEST\n"
    )


def test_logs_of_pods_that_exist_bear_their_names(person: Person, get: Callable[..., Any]) -> None:
    pods = {pod["metadata"]["name"] for pod in get("pods", "-l", "astra.dev/run=chains")["items"]}
    lines = person.does("logs", "chains").splitlines()
    assert lines
    assert {line[1:].split("] ")[0] for line in lines} <= pods
    merged = person.does("logs", "chains", "--stage", "merge").splitlines()
    assert merged == [line for line in lines if "-merge-" in line.split("]")[0]]
    assert merged


def test_logs_of_an_attempt_whose_pods_are_gone_come_from_the_store(person: Person, get: Callable[..., Any], plane: ControlPlane) -> None:
    before = person.does("logs", "tools").splitlines()
    assert before
    uid = get("toolcorpus", "tools")["metadata"]["uid"]
    assert person.does("rerun", "ToolCorpus", "tools") == "ToolCorpus tools will be made anew\n"
    for run in ("toolcorpus/tools", "chainsynthesis/chains"):  # what is made from it is made anew too
        plane.kubectl("-n", person.namespace, "wait", "--for=jsonpath={.status.attempt.number}=2", run, f"--timeout={patience():.0f}s")
        plane.kubectl("-n", person.namespace, "wait", "--for=condition=Succeeded", run, f"--timeout={patience():.0f}s")
    head, *lines = person.does("logs", "tools", "--attempt", "1").splitlines()
    assert re.fullmatch(r"==> stage collect, restart 0, pod 0, began \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ <==", head)
    assert lines == [line.split("] ", 1)[1] for line in before]
    assert list((plane.store(person.namespace) / "logs" / uid / "1/collect/0/0").iterdir()), "it is where the job kept it"
    wait_for("nothing is left of the question", lambda: not get("jobs,configmaps,pods", "-l", "astra.dev/inspect")["items"])


def test_the_report_comes_through_whole(person: Person, get: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "made" / "page.html"
    said = person.does("report", "--out", str(page))
    text = page.read_text()
    assert said == f"report: {page} ({page.stat().st_size:,} bytes, 2 runs)\n"
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    for run in ("tools", "chains"):
        assert run in text
    wait_for("nothing is left of the question", lambda: not get("jobs,configmaps,pods", "-l", "astra.dev/inspect")["items"])


def test_following_shows_a_run_until_it_has_ended(person: Person, get: Callable[..., Any]) -> None:
    before = get("chainsynthesis", "chains")["status"]["attempt"]["number"]
    person.does("rerun", "chains")
    out = person.does("logs", "chains", "-f")
    after = get("chainsynthesis", "chains")["status"]
    assert after["attempt"]["number"] == before + 1
    assert next(item["status"] for item in after["conditions"] if item["type"] == "Succeeded") == "True"
    own = [line for line in out.splitlines() if line.startswith(f"[chains-chains-{before + 1}-")]
    assert {re.sub(r"-\w+$", "", line[1:].split("]")[0]) for line in own} == {
        f"chains-chains-{before + 1}-synthesise-0-0",
        f"chains-chains-{before + 1}-synthesise-0-1",
        f"chains-chains-{before + 1}-merge-0",
    }
    assert sorted(own) == sorted(person.does("logs", "chains").splitlines()), "every line once"
    assert f"attempt {before}: Succeeded" in person.does("status", "chains")


def test_changes_are_the_persons_own(person: Person, get: Callable[..., Any]) -> None:
    person.does("suspend", "ToolCorpus/tools")
    run = get("toolcorpus", "tools", "--show-managed-fields")
    assert run["spec"]["suspend"] is True
    (fields,) = [entry for entry in run["metadata"]["managedFields"] if entry["manager"] == "astra-cli"]
    assert not [entry for entry in run["metadata"]["managedFields"] if entry["manager"] == "kubectl-astra"], "Flux would undo it"
    assert {"f:suspend", "f:rerun"} >= set(fields["fieldsV1"]["f:spec"])
    person.does("resume", "ToolCorpus/tools")
    assert get("toolcorpus", "tools")["spec"]["suspend"] is False


def test_what_cannot_be_is_refused_in_one_line(person: Person, plane: ControlPlane) -> None:
    assert person.says("status", "nobody") == (
        78,
        "",
        f"nobody: there is no such run; in namespace {person.namespace} there are: ToolCorpus/tools, ChainSynthesis/chains\n",
    )
    assert person.says("logs", "chains", "--stage", "train") == (
        78, "", "--stage: found 'train'; ChainSynthesis has the stages synthesise, merge\n",
    )  # fmt: skip
    code, out, err = person.says("logs", "chains", "--attempt", "9")
    assert (code, out) == (78, "")
    assert re.fullmatch(r"--attempt: found 9; the newest attempt is \d\n", err)
    twin = {"apiVersion": "astra.dev/v1alpha1", "kind": "EnvSynthesis", "metadata": {"name": "chains", "namespace": person.namespace}}
    plane.apply(twin | {"spec": {"author": {"procedural": {}}, "seeds": {"procedural": {"questions": 1}}, "suspend": True}})
    try:
        code, out, err = person.says("status", "chains")
        assert (code, out) == (78, "")
        assert err.startswith("chains: more than one run has this name; ")
        assert err.rstrip().endswith("there are: ToolCorpus/tools, ChainSynthesis/chains, EnvSynthesis/chains")
        assert "EnvSynthesis chains: Suspended" in person.does("status", "EnvSynthesis", "chains")
    finally:
        plane.kubectl("-n", person.namespace, "delete", "envsynthesis", "chains")


def test_who_may_not_is_told_what(plane: ControlPlane, namespace: str) -> None:
    eve = Person(plane.user_kubeconfig("eve"), namespace)
    code, out, err = eve.says("status")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert 'User "eve" cannot list resource "toolcorpora"' in err
    assert err.rstrip().endswith("ask for the right, or name a namespace with -n")


def test_the_inspecting_job_is_admitted_under_restricted_pod_security(plane: ControlPlane) -> None:
    from astra_cli.kubectl_inspect import Question, inspect_objects
    from astra_jobs.api.request import StoreSettings
    from astra_jobs.api.v1alpha1.pod import Pod
    from astra_operator.settings import TeamSettings

    namespace = plane.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    question = Question(["report", "--runs", "in/runs.json", "--out", "out/report.html"], StoreSettings(url="s3://b/x"), Pod(), {})
    config, job = inspect_objects(question, TeamSettings(store_url="s3://b/x", store_secret="keys"), "astra-report-1")
    template = job["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **template["metadata"]}, "spec": template["spec"]}
    for item in (config, job, pod):
        item["metadata"]["namespace"] = namespace
        plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(item))
