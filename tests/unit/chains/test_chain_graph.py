"""Graphs, walks and the comparison of plans."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.chains import Walks
from astra_jobs.authors.chain_requests import PlannedCall
from astra_jobs.chains.graph import SCHEMA_WEIGHT, agreement, build_graph
from astra_jobs.chains.plans import same_plan
from astra_jobs.chains.verify import chain_plan
from astra_jobs.chains.walks import TRIES, draw_walks
from astra_jobs.records.tool import Tool
from astra_jobs.worlds.graph import tool_graph
from astra_jobs.worlds.world import make_world
from tests.unit.chains.chain_kit import server_of


def tools(count: int) -> list[Tool]:
    return [Tool(name=f"t{index}", description="", parameters={"type": "object", "properties": {}}) for index in range(count)]


chains = st.lists(st.lists(st.sampled_from([f"t{index}" for index in range(7)]), min_size=1, max_size=5, unique=True), max_size=15)


@given(chains, st.integers(1, 4), st.integers(0, 3), st.integers(1, 12), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_walks_keep_their_promises(proposed: list[list[str]], least: int, more: int, wanted: int, seed: int) -> None:
    graph = build_graph(tools(7), proposed)
    limits = Walks(min_length=least, max_length=least + more, per_server=wanted)
    walks = draw_walks(graph, limits, random.Random(seed))
    assert len(walks) <= wanted
    assert len({tuple(walk) for walk in walks}) == len(walks)
    for walk in walks:
        assert least <= len(walk) <= least + more
        assert len(set(walk)) == len(walk)
        assert all(graph.has_edge(*pair) for pair in itertools.pairwise(walk))
    shuffled = list(proposed)
    random.Random(seed).shuffle(shuffled)
    again = build_graph(list(reversed(tools(7))), shuffled)
    assert draw_walks(again, limits, random.Random(seed)) == walks, "the order of tools and chains must not matter"


def test_weight_is_the_frequency_of_a_pair_and_biases_walks() -> None:
    graph = build_graph(tools(3), [["t0", "t1"]] * 9 + [["t0", "t2"]])
    assert graph["t0"]["t1"]["weight"] == 9
    limits = Walks(min_length=2, max_length=2, per_server=1)
    firsts = Counter(draw_walks(graph, limits, random.Random(seed))[0][1] for seed in range(1000))
    assert 860 <= firsts["t1"] <= 935


def test_work_is_bounded_where_the_wanted_walks_do_not_exist() -> None:
    class Counted(random.Random):
        draws = 0

        def randint(self, a: int, b: int) -> int:
            self.draws += 1
            return super().randint(a, b)

    stream = Counted(0)
    dense = build_graph(tools(7), [[f"t{a}", f"t{b}"] for a in range(7) for b in range(7) if a != b])
    assert len(draw_walks(dense, Walks(min_length=5, max_length=5, per_server=10), stream)) == 10
    stream.draws = 0
    assert draw_walks(build_graph(tools(3), []), Walks(min_length=2, max_length=5, per_server=10), stream) == []
    assert stream.draws == 10 * TRIES


def test_schema_evidence_is_the_worlds_own_graph() -> None:
    for index in range(20):
        server = server_of(index)
        graph = build_graph(server.tools, [])
        assert set(graph.edges) == set(tool_graph(make_world(2 * index, server.world.worlds)).edges)  # type: ignore[union-attr]
        assert agreement(graph) == {"edgesBoth": 0, "edgesProposedOnly": 0, "edgesSchemaOnly": graph.number_of_edges()}
        assert {data["weight"] for *_, data in graph.edges(data=True)} <= {SCHEMA_WEIGHT}


def test_kinds_of_evidence_are_kept_apart() -> None:
    server = server_of(0)
    first, second = next(iter(build_graph(server.tools, []).edges))
    strange = next(tool.name for tool in server.tools if tool.name not in (first, second))
    graph = build_graph(server.tools, [[first, second], [first, second], [second, strange]])
    assert graph[first][second] == {"proposed": 2, "schema": True, "weight": 2 + SCHEMA_WEIGHT}
    counts = agreement(graph)
    assert counts["edgesBoth"] >= 1
    assert sum(counts.values()) == graph.number_of_edges()


@st.composite
def plans(draw: st.DrawFn) -> list[PlannedCall]:
    count = draw(st.integers(1, 5))
    made = []
    for index in range(count):
        needs = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=2)) if index else []
        made.append(PlannedCall(tool=draw(st.sampled_from(["a", "b", "c"])), needs=needs))
    return made


def reordered(plan: list[PlannedCall], seed: int) -> list[PlannedCall]:
    order = list(range(len(plan)))
    random.Random(seed).shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return [PlannedCall(tool=plan[old].tool, needs=[place[need] for need in plan[old].needs]) for old in order]


@given(plans(), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_order_of_calls_does_not_matter_to_plans(plan: list[PlannedCall], seed: int) -> None:
    assert same_plan(plan, reordered(plan, seed))
    assert same_plan(reordered(plan, seed), plan)


@given(plans(), st.data())
@settings(max_examples=100, deadline=None)
def test_another_tool_a_lost_call_or_a_lost_need_matters(plan: list[PlannedCall], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan) - 1))
    assert not same_plan(plan, [*plan[:index], PlannedCall(tool="other", needs=plan[index].needs), *plan[index + 1 :]])
    assert not same_plan(plan, [*plan, PlannedCall(tool="a")])
    if plan[index].needs:
        fewer = PlannedCall(tool=plan[index].tool, needs=plan[index].needs[1:])
        assert not same_plan(plan, [*plan[:index], fewer, *plan[index + 1 :]])


@pytest.mark.parametrize("needs", [[[5]], [[0]], [[1], [0]]])
def test_plans_that_are_no_graph_equal_nothing(needs: list[list[int]]) -> None:
    plan = [PlannedCall(tool="a", needs=item) for item in needs]
    assert not same_plan(plan, plan)


def test_chain_needs_what_its_schemas_say() -> None:
    server = server_of(0)
    world = make_world(0, server.world.worlds)  # type: ignore[union-attr]
    documents = {tool.name: tool for tool in server.tools}
    link = next(tool for tool in world.tools if tool.linked)
    leaves = [tool.name for tool in world.tools if tool.argument == link.attribute]
    plan = chain_plan([link.name, *leaves], documents)
    assert [call.needs for call in plan] == [[], *([0] for _ in leaves)]
