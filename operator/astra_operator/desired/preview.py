"""What the operator will create for a run, before it does: for ``astra render``, with placeholders for what is not known yet."""

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import Input
from astra_operator import attempts
from astra_operator.clusters.base import Object, key_of
from astra_operator.desired.launch import LaunchPlan, RunName, attempt_config, launch_objects, service_objects
from astra_operator.frozen import read_live
from astra_operator.resolve import references
from astra_operator.site import Site
from astra_operator.stages import plan


def preview(run: Object, site: Site) -> list[Object]:
    """Return attempt 1's objects, every stage's first launch included; raises ``BadInput`` for a spec that does not fit."""
    key = key_of(run)
    live = read_live(run)
    if live.spec is None:
        raise BadInput(f"{key.kind} {key.name}", "InvalidSpec", live.problem)
    inputs = tuple(
        Input(role=item.role, kind=item.target.kind, name=item.target.name, artifact=_placeholder(f"{item.target.kind} {item.target.name}"))
        for item in references(run)
    )
    frozen = attempts.freeze(run, live, inputs, 1, site)
    name = RunName(key.namespace, key.name, run["metadata"].get("uid", "<uid>"))
    objects = [attempt_config(name, frozen)]
    results: dict[str, tuple[Artifact, ...]] = {}
    for stage in plan(frozen.kind, frozen.spec):
        objects += service_objects(name, frozen, stage, frozen.spec)
        objects += launch_objects(name, frozen, LaunchPlan(stage, 0, frozen.spec, results))
        results[stage.name] = tuple(_placeholder(f"stage {stage.name}, shard {shard}") for shard in range(stage.shards))
    return objects


def _placeholder(of: str) -> Artifact:
    return Artifact(uri=f"<artifact of {of}>", digest=f"<digest of {of}>")
