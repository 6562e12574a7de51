"""Irrelevant tools and the held-out split, as functions of made-up environments."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.envs import Distractors
from astra_jobs.envs.distractors import band_of, candidates, mix, normalised, pool_of
from astra_jobs.envs.held import constants
from astra_jobs.envs.split import families, held_out
from astra_jobs.records.environment import Answer, Environment, EnvTool
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world


def environment(seed: int, **other: object) -> Environment:
    world = make_world(seed, ProceduralWorlds())
    question = draw_question(world, random.Random(seed))
    names = sorted({call.tool for call in question.oracle})
    tools = [EnvTool(tool=world.tool(name).document(), code=world.tool(name).source(), domain=world.domain) for name in names]
    made = Environment(
        id=f"e{seed}", question=question.text, scenario=question.graph.scenario, domain=world.domain, tools=tools,
        targets=list(question.targets), oracle=list(question.oracle), graph=question.graph, world_seed=seed, worlds=ProceduralWorlds(),
    )  # fmt: skip
    return made.model_copy(update=other)


ENVIRONMENTS = [environment(seed) for seed in range(1, 161, 2)]
POOL = pool_of(ENVIRONMENTS)


@pytest.mark.parametrize(
    ("value", "band"), [(0.8501, "High"), (0.85, "Medium"), (0.4, "Medium"), (0.3999, "Low"), (1.0, "High"), (0.0, "Low")]
)
def test_bands_have_the_papers_edges(value: float, band: str) -> None:
    assert band_of(value, Distractors()) == band


def test_rows_are_normalised_over_the_others() -> None:
    rows = normalised(np.array([[1, 0.2, 0.6], [0.2, 1, 0.2], [0.6, 0.2, 1]], dtype=np.float32))
    assert rows[0].tolist() == [1, 0, 1]
    assert rows[1].tolist() == [0, 1, 0]


def test_no_candidate_of_the_domain_no_name_in_scope_no_leak() -> None:
    for one in ENVIRONMENTS:
        bands, _ = candidates(one, POOL, Distractors())
        for index in (index for part in bands.values() for index in part):
            entry = POOL.tools[index]
            assert entry.domain != one.domain
            assert entry.tool.name not in {own.tool.name for own in one.tools}
            held = constants(entry.code)
            assert not any(held.leaks(target.answer) for target in one.targets)


@pytest.mark.parametrize(
    ("answer", "value", "leaks"),
    [
        (Answer(kind="text", value="Café"), "CAFE\u0301", True),
        (Answer(kind="text", value="C++"), "C#", False),
        (Answer(kind="number", value=5), 5, True),
        (Answer(kind="number", value=5), "5", True),
        (Answer(kind="number", value=5, unit="km"), "5 km", True),
        (Answer(kind="number", value=5), 5.0, True),
        (Answer(kind="number", value=5), 50, False),
        (Answer(kind="number", value=1700000000), 1700000001, False),
        (Answer(kind="number", value=0.3), 0.30000000000000004, True),
        (Answer(kind="number", value=0.3, tolerance=0.1), 0.35, True),
        (Answer(kind="list", value=["a", 0.3]), "a", False),
        (Answer(kind="boolean", value=True), True, False),
    ],
)
def test_a_leak_is_judged_by_type(answer: Answer, value: object, leaks: bool) -> None:
    assert constants(f"T = [{value!r}, 7, 'x', None, True]\n").leaks(answer) is leaks


def test_a_leaking_candidate_is_refused() -> None:
    one = ENVIRONMENTS[0]
    answer = one.targets[0].answer.value
    leak = EnvTool(
        tool=one.tools[0].tool.model_copy(update={"name": "leak"}),
        code=f"T = {{'k': {answer!r}}}\n\n\ndef leak(x):\n    return T\n",
        domain="elsewhere",
    )
    clean = leak.model_copy(update={"tool": leak.tool.model_copy(update={"name": "clean"}), "code": "def clean(x):\n    return {}\n"})
    pool = pool_of([one, one.model_copy(update={"tools": [leak, clean]})])
    bands, leaks = candidates(one, pool, Distractors())
    assert leaks == 1
    assert [pool.tools[index].tool.name for part in bands.values() for index in part] == ["clean"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 79), st.integers(0, 4), st.integers(0, 9))
def test_mixing_keeps_the_scope_and_the_quota(which: int, per_band: int, seed: int) -> None:
    one = ENVIRONMENTS[which]
    mixed, counts = mix(one, POOL, Distractors(per_band=per_band), random.Random(seed))
    assert sorted(entry.tool.name for entry in mixed.tools if entry.band is None) == sorted(entry.tool.name for entry in one.tools)
    for band in ("High", "Medium", "Low"):
        assert counts[f"distractors{band}"] == sum(entry.band == band for entry in mixed.tools) <= per_band
    assert mix(one, POOL, Distractors(per_band=per_band), random.Random(seed))[0] == mixed


def test_families_hold_worlds_and_near_duplicates_together() -> None:
    texts = [
        "What is the depth of port a11?",
        "What is the depth of port b22?",
        "Find the menu of mill c33.",
        "Tell me the crop of farm d44.",
    ]
    seeds = [1, 3, 5, 5]
    made = [ENVIRONMENTS[0].model_copy(update={"question": text, "world_seed": seed}) for text, seed in zip(texts, seeds, strict=True)]
    assert sorted(map(sorted, families(made))) == [[0, 1], [2, 3]]


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 99))
def test_the_held_out_share_is_met_by_whole_families(share: float, seed: int) -> None:
    chosen = held_out(ENVIRONMENTS, share, random.Random(seed))
    assert all(set(group) <= chosen or not set(group) & chosen for group in families(ENVIRONMENTS))
    assert abs(len(chosen) - share * len(ENVIRONMENTS)) <= 2
