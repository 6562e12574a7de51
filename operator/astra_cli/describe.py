"""Everything that is known of one run, in an order that answers the usual questions first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from astra_cli.table import aligned
from astra_jobs.api.credentials import outline
from astra_operator.clusters.base import Object, key_of
from astra_operator.clusters.local_files import read_json
from astra_operator.clusters.local_objects import read_events
from astra_operator.crdgen.documents import to_yaml
from astra_operator.desired import naming


def text_of(run: Object, state: Path) -> str:
    """Return the description of a run."""
    metadata, status = run["metadata"], run["status"]
    head = [
        ("Name:", metadata["name"]),
        ("Namespace:", metadata["namespace"]),
        ("Kind:", run["kind"]),
        ("Created:", metadata["creationTimestamp"]),
        ("Phase:", status.get("phase", "")),
        ("Generation:", f"{metadata['generation']} (seen: {status.get('observedGeneration', 0)})"),
    ]
    parts = [aligned(head), *_status(status), "Spec:\n" + _indent(to_yaml(outline(run["spec"])))]
    pods = list(_pods(run, state))
    if pods:
        parts.append("Pods:\n" + _indent(aligned([("NAME", "PHASE", "EXIT", "ADDRESS"), *pods])))
    events = read_events(state, key_of(run))
    if events:
        parts.append("Events:\n" + _indent(aligned([("TIME", "TYPE", "REASON", "MESSAGE"), *map(tuple, events)])))
    parts += _last_lines(run, state)
    return "\n".join(parts)


def _status(status: Mapping[str, Any]) -> Iterator[str]:
    conditions = status.get("conditions", [])
    if conditions:
        lines = [("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE")]
        lines += [(c["type"], c["status"], c["reason"], c["lastTransitionTime"], c.get("message", "")) for c in conditions]
        yield "Conditions:\n" + _indent(aligned(lines))
    for name in ("attempt", "stage", "progress", "artifact", "artifacts", "metrics", "history"):
        value = status.get(name)
        if value in (None, {}, []):
            continue
        title = f"{name.capitalize()}:"
        yield f"{title} {value}" if isinstance(value, str) else f"{title}\n" + _indent(to_yaml(value))


def _objects(run: Object, state: Path) -> list[Object]:
    found = []
    for path in sorted(state.glob(f"objects/{run['metadata']['namespace']}/Pod.*.json")):
        pod = read_json(path)
        if pod["metadata"]["labels"].get(naming.LABEL_UID) == run["metadata"]["uid"]:
            found.append(pod)
    return found


def _pods(run: Object, state: Path) -> Iterator[tuple[str, str, str, str]]:
    for pod in _objects(run, state):
        states = [item["state"] for item in pod["status"].get("containerStatuses", [])]
        ended = states[0].get("terminated", {}) if states else {}
        yield pod["metadata"]["name"], pod["status"]["phase"], str(ended.get("exitCode", "")), pod["status"].get("podIP", "")


def _last_lines(run: Object, state: Path) -> Iterator[str]:
    for pod in _objects(run, state):
        lines = pod["metadata"].get("annotations", {}).get(naming.LOG_ANNOTATION)
        if lines:
            yield f"Last lines of {pod['metadata']['name']}:\n" + _indent(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())
