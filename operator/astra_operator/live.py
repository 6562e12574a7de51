"""What the runs of a namespace refer to in the artifact store, for a collection that may remove the rest. Pure.

Everything that names an artifact is taken, wherever it is written; what cannot be read ends the list, for a list that leaves something
out removes it. Keys are taken too: of every stage of every attempt, because what a stage will find in the store may be in no status yet.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.api.live import LiveList, LiveRun
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.status import Status
from astra_operator.clusters.base import Object
from astra_operator.frozen import Frozen, stage_digest
from astra_operator.stages import STAGES, plan


def live_list(namespace: str, time: float, pods: Iterable[Object], configs: Iterable[Object], runs: Iterable[Object]) -> LiveList:
    """Return the list; raises ``BadInput`` that names what cannot be read.

    They must have been listed in this order: an artifact moves from a pod's result, and an attempt from its ConfigMap, into the status
    of the run, so that who looks there last misses neither. ``time`` is when the first was asked for.
    """
    artifacts: dict[tuple[str, str], Artifact] = {}
    keys: set[str] = set()
    for pod in pods:
        for message in _results(pod):
            _gather(message, artifacts)
    for config in configs:
        keys |= _keys_of(config, artifacts)
    known = []
    for run in runs:
        metadata = run["metadata"]
        known.append(LiveRun(uid=metadata["uid"], name=metadata["name"]))
        keys |= _past_keys(run)
        _gather(run.get("status") or {}, artifacts)
    return LiveList(namespace=namespace, time=time, runs=known, keys=sorted(keys), artifacts=[artifacts[key] for key in sorted(artifacts)])


def _results(pod: Object) -> Iterator[Any]:
    """Yield what a pod's containers have left; what is no JSON is the end of a log."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        for state in (status.get("state", {}), status.get("lastState", {})):
            try:
                yield json.loads(state.get("terminated", {}).get("message", ""))
            except ValueError:
                continue


def _gather(value: Any, found: dict[tuple[str, str], Artifact]) -> None:
    """Take every pointer to an artifact out of JSON data, whatever field holds it."""
    if isinstance(value, dict):
        if value.keys() == {"uri", "digest"} and all(isinstance(part, str) for part in value.values()):
            found[value["digest"], value["uri"]] = Artifact(**value)
        for part in value.values():
            _gather(part, found)
    elif isinstance(value, list):
        for part in value:
            _gather(part, found)


def _keys_of(config: Object, artifacts: dict[tuple[str, str], Artifact]) -> set[str]:
    """Return the keys of an attempt's or a request's ConfigMap, and take the artifacts in it."""
    data = config.get("data") or {}
    keys = set[str]()
    if "attempt.json" in data:
        frozen = _read(Frozen, config, "attempt.json")
        for stage in plan(frozen.kind, frozen.spec):
            digest = stage_digest(frozen, stage.unread)
            keys |= {digest_of([digest, stage.name, shard, stage.shards]) for shard in range(stage.shards)}
        _gather(frozen.to_dict(), artifacts)
    if "request.json" in data:
        request = _read(StageRequest, config, "request.json")
        keys |= {request.key(shard) for shard in range(request.shards)}
        _gather(request.to_dict(), artifacts)
    return keys


def _past_keys(run: Object) -> set[str]:
    """Return the keys of the attempts that a status tells of: a spec that goes back to one of them finds what it made."""
    try:
        status = Status.model_validate(run.get("status") or {})
    except ValidationError as error:
        raise BadInput(
            f"status of {_name(run)}", "BadInput", f"{explain(error, Status)}; use the operator's version that wrote it"
        ) from None
    digests = {item.digest for item in (*status.history, status.attempt) if item}
    return {digest_of([digest, stage.name, 0, 1]) for digest in digests for stage in STAGES[run["kind"]]}


def _read(model: Any, config: Object, name: str) -> Any:
    try:
        return model.model_validate_json(config["data"][name])
    except ValidationError as error:
        mend = "use the operator's version that wrote it, or delete the run"
        raise BadInput(f"{name} of {_name(config)}", "BadInput", f"{explain(error, model)}; {mend}") from None


def _name(item: Object) -> str:
    return f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
