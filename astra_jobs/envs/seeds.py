"""Main questions: one procedural world each, drawn by question number alone, so that shards do not matter."""

from astra_jobs.api.job import JobContext
from astra_jobs.api.v1alpha1.envs import ProceduralSeeds
from astra_jobs.authors.env_requests import MainQuestion, Origin
from astra_jobs.authors.procedural_envs.plan import known_question, world_of
from astra_jobs.records.tool import WorldReference


def main_question(seeds: ProceduralSeeds, ctx: JobContext, index: int) -> MainQuestion:
    """Return the question of a number. Environment worlds have odd seeds; corpora have even ones."""
    stream = ctx.stream("envs", "question", index)
    world = WorldReference(seed=2 * stream.getrandbits(44) + 1, worlds=seeds.worlds)
    origin = Origin(world=world, draw=stream.getrandbits(44))
    return MainQuestion(text=known_question(origin).text, domain=world_of(origin).domain, origin=origin)
