"""The difficulty fields do what they say, for any values; scenario labels follow from the graph."""

import random
from collections import Counter

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.worlds.graph import chains_of, tool_graph
from astra_jobs.worlds.questions import draw_question, question_for
from astra_jobs.worlds.words import ATTRIBUTES, DOMAINS, TYPES, VALUES
from astra_jobs.worlds.world import make_world


@st.composite
def sizes(draw: st.DrawFn) -> ProceduralWorlds:
    types = draw(st.integers(2, 6))
    return ProceduralWorlds(
        entity_types=types,
        rows=draw(st.integers(2, 40)),
        max_hops=draw(st.integers(1, min(5, types))),
        parallel=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


@settings(max_examples=150, deadline=None)
@given(params=sizes(), seed=st.integers(0, 2**53))
def test_a_world_has_the_declared_size(params: ProceduralWorlds, seed: int) -> None:
    world = make_world(seed, params)
    assert len(world.types) == params.entity_types
    assert all(len(world.ids[name]) == params.rows for name in world.types)
    everyone = [key for keys in world.ids.values() for key in keys]
    assert len(set(everyone)) == len(everyone)
    assert len({tool.name for tool in world.tools}) == len(world.tools) == 2 * params.entity_types
    for tool in world.tools:
        assert len({str(sorted(value) if isinstance(value, list) else value) for value in tool.data.values()}) == params.rows
        assert len(tool.document().description.split()) >= 3


@settings(max_examples=150, deadline=None)
@given(params=sizes(), seed=st.integers(0, 2**53), number=st.integers(0, 100))
def test_a_question_keeps_to_hops_and_parallelism(params: ProceduralWorlds, seed: int, number: int) -> None:
    question = draw_question(make_world(seed, params), random.Random(number))
    nodes = question.graph.nodes
    assert [node.id for node in nodes] == list(range(1, len(nodes) + 1))
    assert max(node.hop for node in nodes) <= params.max_hops
    for node in nodes:
        assert node.hop == 1 + max((nodes[other - 1].hop for other in node.depends_on), default=0)
    graph = networkx.DiGraph([(other, node.id) for node in nodes for other in node.depends_on])
    assert networkx.is_directed_acyclic_graph(graph)
    by_hop = Counter(node.hop for node in nodes)
    assert question.graph.scenario.startswith("Parallel") == (max(by_hop.values()) > 1)
    assert question.graph.scenario.endswith("MultiHop") == (len(by_hop) > 1)
    assert all(node.parallel == (by_hop[node.hop] > 1) for node in nodes)
    if params.parallel in (0.0, 1.0):
        assert question.graph.scenario.startswith("Parallel") == (params.parallel == 1.0)


def test_shares_and_hops_are_the_declared_ones() -> None:
    params = ProceduralWorlds(parallel=0.3, max_hops=3)
    graphs = [draw_question(make_world(seed, params), random.Random(seed)).graph for seed in range(2000)]
    share = sum(graph.scenario.startswith("Parallel") for graph in graphs) / len(graphs)
    assert 0.26 < share < 0.34
    hops = Counter(max(node.hop for node in graph.nodes) for graph in graphs)
    assert set(hops) == {1, 2, 3}
    assert min(hops.values()) > 0.28 * len(graphs)
    assert len({graph.scenario for graph in graphs}) == 4


def test_more_hops_than_types_are_refused() -> None:
    with pytest.raises(ValidationError, match="maxHops must not exceed entityTypes"):
        ProceduralWorlds(entity_types=3, max_hops=4)


def test_words_have_one_role_each_and_start_phrases_well() -> None:
    words = [*TYPES, *ATTRIBUTES, *VALUES, *DOMAINS]
    assert len(set(words)) == len(words)
    assert (len(TYPES), len(ATTRIBUTES)) == (16, 24)
    assert not any(word[0] in "aeiou" for word in TYPES), "descriptions say 'a' before a type"


def test_edges_follow_what_a_tool_returns() -> None:
    world = make_world(12, ProceduralWorlds())
    graph = tool_graph(world)
    for first in world.tools:
        for second in world.tools:
            fits = first.linked and set(first.data.values()) == set(second.data)
            assert graph.has_edge(first.name, second.name) == fits
    assert len(chains_of(world)) == 1 + 3


def test_broken_chains_give_no_question() -> None:
    world = make_world(12, ProceduralWorlds())
    rng = random.Random(0)
    (first, second), *_ = chains_of(world)[2]
    assert question_for(world, [], rng) is None
    assert question_for(world, [[]], rng) is None
    assert question_for(world, [[second, first]], rng) is None
    assert question_for(world, [["no_such_tool"]], rng) is None
    assert question_for(world, [[first, second]], rng) is not None


def test_given_chains_are_what_the_oracle_plays() -> None:
    for seed in range(300):
        world = make_world(seed, ProceduralWorlds(rows=4))
        rng = random.Random(seed)
        every = [chain for level in chains_of(world) for chain in level]
        chains = [rng.choice(every) for _ in range(rng.randint(1, 3))]
        question = question_for(world, chains, rng)
        if question is None:
            continue
        used = {call.tool for call in question.oracle}
        assert used == {name for chain in chains for name in chain}
        assert len(question.oracle) <= sum(map(len, chains))
        assert len({(call.tool, *call.arguments.values()) for call in question.oracle}) == len(question.oracle)
