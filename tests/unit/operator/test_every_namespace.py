"""One operator for every namespace: what it is told, what it asks for, what it keeps of that."""

import pytest

from astra_jobs.api.errors import BadInput
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from astra_operator.liveness import Liveness
from astra_operator.settings import process_settings

RUNS, PODS = RESOURCE_OF["ToolCorpus"], RESOURCE_OF["Pod"]


def test_a_star_means_every_namespace_and_nothing_else_does() -> None:
    assert process_settings({"ASTRA_NAMESPACES": " * "}).namespaces == ()
    assert process_settings({"ASTRA_NAMESPACES": "b,a,b"}).namespaces == ("b", "a")
    for wrong in ("", " ", "*,a", "a,"):
        with pytest.raises(BadInput):
            process_settings({"ASTRA_NAMESPACES": wrong})


def test_there_are_threads_for_leases_whose_number_nobody_knows() -> None:
    assert process_settings({"ASTRA_NAMESPACES": "a,b,c"}).chores == 5
    assert process_settings({"ASTRA_NAMESPACES": "*"}).chores == 10


def test_without_a_namespace_a_path_is_of_all_of_them() -> None:
    assert RUNS.path("") == "/apis/astra.dev/v1alpha1/toolcorpora"
    assert RUNS.path("team", "tools") == "/apis/astra.dev/v1alpha1/namespaces/team/toolcorpora/tools"
    assert PODS.path("") == "/api/v1/pods"


def run(namespace: str, uid: str, version: int = 1) -> dict:
    metadata = {"name": "tools", "namespace": namespace, "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": metadata, "spec": {}}


def page(version: int, *items: dict) -> list[dict]:
    return [{"metadata": {"resourceVersion": str(version)}, "items": list(items)}]


def test_a_list_of_all_namespaces_forgets_what_is_gone_in_any() -> None:
    index = Index()
    changed, _ = index.replace(RUNS, "", page(5, run("one", "1"), run("two", "2")))
    assert {key.namespace for key in changed} == {"one", "two"}
    changed, _ = index.replace(RUNS, "", page(9, run("two", "2")))
    assert {key.namespace for key in changed} == {"one"}
    assert {key.namespace for key in index.keys()} == {"two"}  # noqa: SIM118 -- not a mapping


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    index = Index()
    index.replace(RUNS, "one", page(5, run("one", "1")))
    index.replace(RUNS, "two", page(9))
    assert {key.namespace for key in index.keys()} == {"one"}  # noqa: SIM118 -- not a mapping


def test_a_namespace_that_is_left_makes_nothing_red() -> None:
    time = [0.0]
    liveness = Liveness(10, 100, lambda: time[0])
    liveness.shown("gone", 5)
    liveness.shown("here", 6)
    liveness.forget("gone")
    time[0] = 20
    assert liveness.problems() == ["no event of the Lease in namespace here for 20 s"]


def test_an_event_is_late_before_it_makes_anything_red() -> None:
    time = [0.0]
    liveness = Liveness(10, 100, lambda: time[0])
    liveness.shown("team", 5)
    time[0] = 6
    assert (liveness.late("team"), liveness.problems()) == (True, [])
    liveness.echoed("team", 5)
    assert not liveness.late("team")
