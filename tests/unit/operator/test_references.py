"""References → inputs, waits and circles."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.base import digest_of
from astra_operator.clusters.base import RunKey, key_of
from astra_operator.resolve import REFERENCES, Lookup, Readers, ReferenceField, find_cycle, references, resolve, unsettled

Object = dict[str, Any]
LOOSE: dict[Kind, tuple[ReferenceField, ...]] = {kind: (ReferenceField("next[]", "next", "RLRun"),) for kind in KINDS}


def among(runs: list[Object]) -> Lookup:
    """Return a look-up in a list of runs."""
    return {key_of(item): item for item in runs}.get


def run(kind: str, name: str, spec: Object, **status: Any) -> Object:
    return {"kind": kind, "metadata": {"name": name, "namespace": "team", "generation": 1}, "spec": spec, "status": status}


def made(name: str = "x", **conditions: str) -> Object:
    """Return the status of a run that has an artifact and is at rest, but for the given conditions."""
    listed = [{"type": kind, "status": status, "reason": "Failed"} for kind, status in conditions.items()]
    return {"observedGeneration": 1, "artifact": {"uri": f"file:///{name}", "digest": digest_of(name)}, "conditions": listed}


SFT_SPEC = {"data": [{"name": "b"}, {"name": "a"}], "evaluation": {"environments": [{"name": "held"}]}}


def test_references_keep_the_specs_order_and_spell_the_field() -> None:
    found = references(run("SFTRun", "s", SFT_SPEC))
    assert [(item.field, item.role, item.target.kind, item.target.name) for item in found] == [
        ("spec.data[0].name", "data/0", "ChainSynthesis", "b"),
        ("spec.data[1].name", "data/1", "ChainSynthesis", "a"),
        ("spec.evaluation.environments[0].name", "evaluation/0", "EnvSynthesis", "held"),
    ]
    rl = run("RLRun", "r", {"model": {"run": {"name": "s"}}, "environments": [{"name": "e"}]})
    assert [(item.field, item.role) for item in references(rl)] == [
        ("spec.model.run.name", "model"),
        ("spec.environments[0].name", "environments/0"),
    ]


@pytest.mark.parametrize(
    "spec", [{}, {"data": "x"}, {"data": [None, 3]}, {"data": {"name": "x"}, "evaluation": []}, {"evaluation": {"environments": "e"}}]
)
def test_a_spec_of_any_shape_has_references_or_none(spec: Object) -> None:
    assert references(run("SFTRun", "s", spec)) == ()


def test_inputs_come_by_role() -> None:
    runs = [
        run("ChainSynthesis", "a", {}, **made("a")),
        run("ChainSynthesis", "b", {}, **made("b")),
        run("EnvSynthesis", "held", {}, **made("h")),
    ]
    found = resolve(run("SFTRun", "s", SFT_SPEC), among(runs))
    assert found.inputs is not None
    assert [(item.role, item.kind, item.name, item.artifact.digest) for item in found.inputs] == [
        ("data/0", "ChainSynthesis", "b", digest_of("b")),
        ("data/1", "ChainSynthesis", "a", digest_of("a")),
        ("evaluation/0", "EnvSynthesis", "held", digest_of("h")),
    ]


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        ([], 'there is no ToolCorpus named "t" in namespace "team"'),
        ([run("ToolCorpus", "u", {})], 'there is no ToolCorpus named "t" in namespace "team"'),
        ([run("ToolCorpus", "t", {})], 'ToolCorpus "t" has no artifact yet'),
        (
            [run("ToolCorpus", "t", {}, conditions=[{"type": "Stalled", "status": "True", "reason": "BadInput"}])],
            'ToolCorpus "t" has no artifact yet (BadInput)',
        ),
        ([run("ToolCorpus", "t", {}, **made() | {"observedGeneration": 0})], 'ToolCorpus "t" is being made anew'),
        ([run("ToolCorpus", "t", {}, **made(Reconciling="True"))], 'ToolCorpus "t" is being made anew'),
    ],
)
def test_a_wait_names_field_target_and_why(corpora: list[Object], message: str) -> None:
    found = resolve(run("ChainSynthesis", "c", {"corpus": {"name": "t"}}), among(corpora))
    assert found.inputs is None
    assert (found.reason, found.message) == ("WaitingForInput", f"spec.corpus.name: {message}")


def test_a_run_of_another_namespace_is_no_input() -> None:
    other = run("ToolCorpus", "t", {}, **made())
    other["metadata"]["namespace"] = "elsewhere"
    assert resolve(run("ChainSynthesis", "c", {"corpus": {"name": "t"}}), among([other])).inputs is None


@pytest.mark.parametrize("conditions", [{"Stalled": "True"}, {"Suspended": "True"}, {"Succeeded": "True"}])
def test_what_does_not_move_is_used_as_it_is(conditions: dict[str, str]) -> None:
    assert (
        resolve(run("ChainSynthesis", "c", {"corpus": {"name": "t"}}), among([run("ToolCorpus", "t", {}, **made(**conditions))])).inputs
        is not None
    )


def test_news_far_up_are_waited_for() -> None:
    corpus = run("ToolCorpus", "t", {}, **made(Reconciling="True"))
    chains = run("ChainSynthesis", "c", {"corpus": {"name": "t"}}, **made(Succeeded="True"))
    assert unsettled(RunKey("ChainSynthesis", "team", "c"), among([corpus, chains]))


def test_a_product_is_used_while_its_run_still_measures() -> None:
    sft = run("SFTRun", "s", {}, **made(Reconciling="True") | {"artifacts": {"train": made()["artifact"]}})
    assert resolve(run("RLRun", "r", {"model": {"run": {"name": "s"}}}), among([sft])).inputs is not None


def test_the_five_kinds_cannot_refer_in_a_circle() -> None:
    """The general search below guards kinds to come."""
    order = list(KINDS)
    later = {kind: {field.kind for field in fields} for kind, fields in REFERENCES.items()}
    while order:
        free = [kind for kind in order if not later[kind] & set(order)]
        assert free
        order = [kind for kind in order if kind not in free]


def graph(edges: dict[str, list[str]]) -> list[Object]:
    return [run("RLRun", name, {"next": [{"name": other} for other in others]}) for name, others in edges.items()]


def test_a_circle_is_named_by_those_in_it_and_waited_for_by_others() -> None:
    runs = graph({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"]})
    a, b, _, d = (resolve(item, among(runs), LOOSE) for item in runs)
    assert b.reason == d.reason == "ReferenceCycle"
    assert b.message == "spec.next[0].name: runs refer to each other in a circle: RLRun b → RLRun c → RLRun b"
    assert d.message.endswith("RLRun d → RLRun d")
    assert a.reason == "WaitingForInput"


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_a_circle_is_found_exactly_when_a_run_reaches_itself(edges: dict[str, list[str]]) -> None:
    runs = graph(edges)
    for key in map(key_of, runs):
        reached, before = set(edges[key.name]), -1
        while before != len(reached):
            before = len(reached)
            reached |= {far for near in reached for far in edges.get(near, [])}
        circle = find_cycle(key, among(runs), LOOSE)
        assert (circle is not None) == (key.name in reached)
        if circle:
            assert circle[0] == circle[-1] == key
            assert all(after.name in edges[here.name] for here, after in pairwise(circle))


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.lists(st.sampled_from("abcde"), max_size=3))))
def test_readers_are_those_that_a_walk_over_all_runs_would_find(moves: list[tuple[str, list[str]]]) -> None:
    """Edits and deletions (an empty list of references) in any order."""
    readers, edges = Readers(LOOSE), dict[str, list[str]]()
    for name, others in moves:
        edges[name] = others
        (item,) = graph({name: others})
        readers.note(item) if others else readers.forget(key_of(item))
    for name in "abcde":
        found = {name}
        while more := {reader for reader, read in edges.items() if found & set(read)} - found:
            found |= more
        assert [key.name for key in readers.of(RunKey("RLRun", "team", name))] == sorted(found - {name})
    for name in edges:
        readers.forget(RunKey("RLRun", "team", name))
    assert not readers._reads
    assert not readers._read_by
