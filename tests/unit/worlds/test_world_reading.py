"""Reading a question gives back what it was made from, for all shapes; texts about nothing give nothing."""

import random

import pytest

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.worlds.questions import FORMS, ask, draw_question
from astra_jobs.worlds.reading import read_question
from astra_jobs.worlds.world import make_world

PARAMS = ProceduralWorlds(entity_types=5, max_hops=5, parallel=0.6)


def test_every_drawn_question_reads_back_to_the_same_question() -> None:
    for seed in range(1000):
        world = make_world(seed, PARAMS)
        question = draw_question(world, random.Random(seed))
        branches = read_question(world, question.text)
        assert branches is not None, question.text
        again = [ask(world, branches, form) for form in FORMS]
        assert question in again


def test_branches_that_share_their_way_read_back_as_several() -> None:
    shared = 0
    for seed in range(1000):
        world = make_world(seed, PARAMS)
        branches = read_question(world, draw_question(world, random.Random(seed)).text)
        assert branches is not None
        shared += len(branches) == 2 and branches[0].start == branches[1].start
    assert shared > 10


@pytest.mark.parametrize("text", ["", "Help me.", "What is the depth of it?", "What is the depth of ship?", "Find the of ship k27."])
def test_texts_without_a_full_phrase_are_not_understood(text: str) -> None:
    assert read_question(make_world(1, PARAMS), text) is None


def test_foreign_words_and_ids_are_not_understood() -> None:
    world = make_world(1, PARAMS)
    text = draw_question(world, random.Random(0)).text
    start = text.rstrip("?.").split()[-1]
    unknown = next(f"z{number}" for number in range(10, 100) if not any(f"z{number}" in keys for keys in world.ids.values()))
    assert read_question(world, text) is not None
    assert read_question(world, text.replace(start, unknown)) is None
    assert read_question(world, text.replace(" of ", " of the moon of ", 1)) is None
