"""Structural validation, necessity and the four scores of question graphs."""

import asyncio
import random
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.authors.env_requests import AxisVerdict, JudgeNecessity, NecessityVerdict, Origin
from astra_jobs.authors.procedural_envs.decompose import BROKEN, levelled
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.judging import gate_necessity, score
from astra_jobs.envs.structure import dependency_graph, scenario, validate
from astra_jobs.records.environment import Answer, QaGraph, QaNode
from astra_jobs.records.funnel import UNSCORED
from astra_jobs.records.tool import WorldReference
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world

ORIGIN = Origin(world=WorldReference(seed=1, worlds=ProceduralWorlds()), draw=1)


def node(number: int, *depends: int) -> QaNode:
    return QaNode(id=number, hop=1, question=f"q{number}", answer=Answer(kind="number", value=number), depends_on=list(depends))


def graph_of(*nodes: QaNode) -> QaGraph:
    return levelled("?", nodes)


@st.composite
def dags(draw: st.DrawFn) -> QaGraph:
    count = draw(st.integers(1, 7))
    return graph_of(
        *(node(number, *sorted(draw(st.sets(st.integers(1, number - 1))) if number > 1 else ())) for number in range(1, count + 1))
    )


@settings(max_examples=60)
@given(dags())
def test_levelled_graphs_are_valid_and_hops_are_longest_paths(graph: QaGraph) -> None:
    validate(graph, max_hops=7)
    depth = networkx.dag_longest_path_length(dependency_graph(graph))
    assert max(one.hop for one in graph.nodes) == depth + 1


@settings(max_examples=60)
@given(dags(), st.sampled_from(BROKEN), st.integers(0, 99))
def test_every_way_to_break_a_graph_is_found(graph: QaGraph, spoil: Any, seed: int) -> None:
    with pytest.raises(Refused) as caught:
        validate(spoil(graph, random.Random(seed)), max_hops=9)
    assert caught.value.filter == "structure"


def test_the_first_thing_wrong_is_named() -> None:
    chain = graph_of(node(1), node(2, 1))
    cases = {
        "IdsNotContiguous": chain.model_copy(update={"nodes": [node(2)]}),
        "UnknownDependency": chain.model_copy(update={"nodes": [node(1, 5)]}),
        "Cycle": chain.model_copy(update={"nodes": [node(1, 1)]}),
        "WrongHop": chain.model_copy(update={"nodes": [node(1), node(2, 1)]}),
        "WrongScenario": chain.model_copy(update={"scenario": "SingleHop"}),
        "WrongParallelFlag": chain.model_copy(update={"nodes": [one.model_copy(update={"parallel": True}) for one in chain.nodes]}),
    }
    for reason, graph in cases.items():
        with pytest.raises(Refused) as caught:
            validate(graph, 5)
        assert caught.value.reason == reason
    with pytest.raises(Refused, match="TooManyHops"):
        validate(chain, 1)


def test_scenarios_of_all_four_shapes() -> None:
    assert scenario(graph_of(node(1)).nodes) == "SingleHop"
    assert scenario(graph_of(node(1), node(2)).nodes) == "ParallelSingleHop"
    assert scenario(graph_of(node(1), node(2, 1)).nodes) == "MultiHop"
    assert scenario(graph_of(node(1), node(2), node(3, 1)).nodes) == "ParallelMultiHop"


def test_world_questions_are_valid() -> None:
    for seed in range(1, 100, 2):
        validate(draw_question(make_world(seed, ProceduralWorlds()), random.Random(seed)).graph, 3)


class Judge:
    """Gives fixed verdicts."""

    def __init__(self, needed: list[bool] | None, passes: dict[str, list[bool] | None] | None = None) -> None:
        self.needed = needed
        self.passes = passes or {}

    async def answer(self, request: Any) -> Any:
        if isinstance(request, JudgeNecessity):
            return NecessityVerdict(needed=self.needed)
        return AxisVerdict(
            passes=self.passes.get(request.axis, [True] * (1 if request.axis == "Completeness" else len(request.graph.nodes)))
        )


@pytest.mark.parametrize(
    ("needed", "reason"),
    [([False, True], "DependsOnToolFree"), (None, UNSCORED), ([True], UNSCORED), ([False, False], "DependsOnToolFree")],
)
def test_the_necessity_gate(needed: list[bool] | None, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(gate_necessity(Judge(needed), graph_of(node(1), node(2, 1))))
    assert (caught.value.filter, caught.value.reason) == ("necessity", reason)


def test_a_leaf_may_need_no_tool() -> None:
    gated = asyncio.run(gate_necessity(Judge([True, False]), graph_of(node(1), node(2, 1))))
    assert [one.needs_tool for one in gated.nodes] == [True, False]
    with pytest.raises(Refused, match="NoToolNeeded"):
        asyncio.run(gate_necessity(Judge([False]), graph_of(node(1))))


def test_quality_is_the_mean_of_four_and_a_missing_verdict_never_passes() -> None:
    graph = graph_of(node(1), node(2))
    half: dict[str, list[bool] | None] = {"Atomicity": [True, False]}
    assert asyncio.run(score(Judge(None, half), graph, ORIGIN, 0.8))["quality"] == 0.875
    with pytest.raises(Refused, match="Atomicity"):
        asyncio.run(score(Judge(None, half), graph, ORIGIN, 0.95))
    for passes in (None, [True], [True] * 3):
        with pytest.raises(Refused) as caught:
            asyncio.run(score(Judge(None, {"DependencyConsistency": passes}), graph, ORIGIN, 0.0))
        assert caught.value.reason == UNSCORED
