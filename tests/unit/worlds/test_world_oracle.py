"""A thousand worlds: the oracle solves every question in this process and as Python source; doing nothing solves none."""

import random
from typing import Any

import pytest

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.episodes.match import leaf_at, solves
from astra_jobs.episodes.reward import score
from astra_jobs.records.episode import EpisodeCall
from astra_jobs.worlds.questions import WorldQuestion, draw_question
from astra_jobs.worlds.world import World, WorldToolError, make_world

SEEDS = 1000
MIXED = ProceduralWorlds(parallel=0.5)


def drawn(seed: int, params: ProceduralWorlds = MIXED) -> tuple[World, WorldQuestion]:
    world = make_world(seed, params)
    return world, draw_question(world, random.Random(f"oracle {seed}"))


def compiled(world: World) -> dict[str, Any]:
    """Return the world's functions, each compiled from its own source in a namespace of its own."""
    functions = {}
    for tool in world.tools:
        space: dict[str, Any] = {}
        exec(compile(tool.source(), tool.name, "exec"), space)
        functions[tool.name] = space[tool.name]
    return functions


def test_the_oracle_solves_all_questions_in_both_forms_of_the_tools() -> None:
    for seed in range(SEEDS):
        world, question = drawn(seed)
        functions = compiled(world)
        assert [call.node for call in question.oracle] == [target.node for target in question.targets]
        for call, target in zip(question.oracle, question.targets, strict=True):
            value = world.tool(call.tool).call(call.arguments)
            assert functions[call.tool](**call.arguments) == value
            assert solves(target.answer, value, target.answer_path, call.arguments), (seed, call)


def test_the_reward_is_one_for_the_oracle_and_zero_for_nothing() -> None:
    for seed in range(SEEDS):
        world, question = drawn(seed)
        values = [(call, world.tool(call.tool).call(call.arguments)) for call in question.oracle]
        calls = [EpisodeCall(turn=0, tool=call.tool, arguments=call.arguments, outcome="ok", value=value) for call, value in values]
        assert score(question.targets, calls).value == 1.0
        assert score(question.targets, []).value == 0.0
        assert score(question.targets, calls[1:]).value < 1.0, "a needed call left out"


def test_later_arguments_come_from_earlier_results_and_first_ones_from_the_question() -> None:
    for seed in range(SEEDS):
        world, question = drawn(seed)
        values = {call.node: world.tool(call.tool).call(call.arguments) for call in question.oracle}
        for node, call in zip(question.graph.nodes, question.oracle, strict=True):
            (argument,) = call.arguments.values()
            if node.depends_on:
                (before,) = node.depends_on
                assert argument in values[before].values()
                assert argument not in question.text, "an id on the way would be a short cut"
            else:
                assert argument in question.text


def test_no_other_call_of_the_world_solves_a_target() -> None:
    for seed in range(200):
        world, question = drawn(seed)
        wanted = {(call.tool, *call.arguments.values()) for call in question.oracle}
        for target in question.targets:
            tool = world.tool(target.tool)
            for key in tool.data:
                if (tool.name, key) in wanted:
                    continue
                assert not solves(target.answer, tool.call({tool.argument: key}), target.answer_path, {}), (seed, target, key)


def test_no_call_solves_nothing_and_the_question_holds_no_answer() -> None:
    for seed in range(SEEDS):
        _, question = drawn(seed)
        for target in question.targets:
            assert not solves(target.answer, None, target.answer_path, {})
            assert not solves(target.answer, question.text, "", {}) or target.answer.kind in ("list", "set")


def test_altering_a_table_alters_the_answer() -> None:
    for seed in range(200):
        world, question = drawn(seed)
        for call, target in zip(question.oracle, question.targets, strict=True):
            tool = world.tool(call.tool)
            (key,) = call.arguments.values()
            turned = dict(zip(tool.data, [*list(tool.data.values())[1:], next(iter(tool.data.values()))], strict=True))
            assert not solves(target.answer, tool.result(turned[key]), target.answer_path, call.arguments)


@pytest.mark.parametrize("wrong", ["a00", "", "port", 5, None, True, ["k27"], {"id": "k27"}])
def test_unknown_ids_and_wrong_types_give_the_same_short_error_in_both_forms(wrong: object) -> None:
    world, _ = drawn(4)
    for name, function in compiled(world).items():
        tool = world.tool(name)
        with pytest.raises(WorldToolError) as refused:
            tool.call({tool.argument: wrong})
        with pytest.raises((ValueError, TypeError)) as raised:
            function(**{tool.argument: wrong})
        assert str(raised.value) == str(refused.value)
        assert len(str(refused.value)) < 40
        assert not any(str(value) in str(refused.value) for value in tool.data.values())


def test_calls_with_other_argument_names_are_refused() -> None:
    world, _ = drawn(4)
    tool = world.tools[0]
    for arguments in ({}, {"other": "a10"}, {tool.argument: next(iter(tool.data)), "more": 1}):
        with pytest.raises(WorldToolError, match=tool.argument):
            tool.call(arguments)


def test_a_result_can_be_changed_without_changing_the_world() -> None:
    worlds = [make_world(seed, MIXED) for seed in range(50)]
    world, tool = next((world, tool) for world in worlds for tool in world.tools if tool.kind == "list")
    arguments = {tool.argument: next(iter(tool.data))}
    function = compiled(world)[tool.name]
    expected = leaf_at(tool.call(arguments), tool.answer_path)
    for value in (tool.call(arguments), function(**arguments)):
        value[tool.attribute].append("more")
    assert leaf_at(tool.call(arguments), tool.answer_path) == expected
    assert leaf_at(function(**arguments), tool.answer_path) == expected
