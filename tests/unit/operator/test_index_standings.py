"""How many runs have which conditions is known without reading the runs."""

from typing import Any

from astra_operator.clusters.index import Index

MET = [{"type": "Succeeded", "status": "True", "reason": "Finished"}, {"type": "Stalled", "status": "False", "reason": "Finished"}]


def item(kind: str, name: str, version: int, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": f"{kind}-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "status": status}


def test_runs_are_counted_by_their_conditions_as_they_change() -> None:
    index = Index()
    for number, name in enumerate("abc"):
        index.put(item("ToolCorpus", name, number))
    index.put(item("Job", "c", 4, conditions=MET))  # no run
    assert index.standings() == {("ToolCorpus", ()): 3}
    index.put(item("ToolCorpus", "c", 5, conditions=MET))
    assert index.standings() == {("ToolCorpus", ()): 2, ("ToolCorpus", (("Succeeded", "True"), ("Stalled", "False"))): 1}
    index.remove(item("ToolCorpus", "c", 6))
    assert index.standings() == {("ToolCorpus", ()): 2}
