"""Worlds, tools and questions are equal byte for byte in processes with different hash seeds, and change with the seed."""

import os
import subprocess
import sys

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.worlds.world import make_world
from tests.patience import patience

PROGRAM = """
import hashlib, random
from astra_jobs.api.base import canonical
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.worlds.examples import conversation
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world
digest = hashlib.sha256()
for seed in range(1000):
    params = ProceduralWorlds(entity_types=2 + seed % 5, max_hops=2, rows=2 + seed % 39, parallel=0.5)
    world = make_world(seed, params)
    question = draw_question(world, random.Random(seed))
    digest.update(world.domain.encode())
    for tool in world.tools:
        digest.update(tool.source().encode() + canonical(tool.document().to_dict()))
    digest.update(canonical(question.graph.to_dict()) + question.final_answer.encode())
    digest.update(canonical([item.to_dict() for item in (*question.oracle, *question.targets)]))
    if seed % 10 == 0:
        digest.update(canonical(conversation(seed, params).to_dict()))
print(digest.hexdigest())
"""


def test_a_thousand_worlds_are_equal_bytes_under_different_hash_seeds() -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "77")
    ]
    digests = [run.communicate(timeout=patience())[0].strip() for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


def test_worlds_of_different_seeds_differ() -> None:
    worlds = [make_world(seed, ProceduralWorlds()) for seed in range(200)]
    assert len({tuple(sorted(tool.source() for tool in world.tools)) for world in worlds}) == 200


def test_what_questions_ask_does_not_change_the_tables() -> None:
    easy, hard = ProceduralWorlds(max_hops=1, parallel=0.0), ProceduralWorlds(max_hops=3, parallel=1.0)
    assert [tool.source() for tool in make_world(8, easy).tools] == [tool.source() for tool in make_world(8, hard).tools]
