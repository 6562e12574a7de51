"""Two stages for kwok in place of its own: a pod's address refuses connections at once, and a job ends with a result as ours do.

No process runs and no store is written to: the artifact's digest is the same for all, and nobody may fetch it.
"""

import json
from pathlib import Path

import yaml

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.result import JobResult
from tests.cluster.plane import tools

ADDRESS = "127.255.255.254"  # kwok's own addresses lead nowhere, and a progress call to one takes its whole timeout
RESULT = JobResult(
    outcome="Succeeded", artifact=Artifact(uri="file:///nowhere/played", digest="sha256:" + "ab" * 32), metrics={"records": "3"}
)


def stages(folder: Path) -> tuple[Path, ...]:
    """Write the stages into a folder."""
    ready, complete = _stage("pod-ready"), _stage("pod-complete")
    start, end = ready.index("podIP: "), ready.index("\n", ready.index("podIP: "))
    ready = f"{ready[:start]}podIP: {json.dumps(ADDRESS)}{ready[end:]}"
    mark = "reason: Completed"
    assert complete.count(mark) == 1, "kwok's own stage looks different now"
    message = "'" + RESULT.encode().decode() + "'"  # YAML's single quotes; there are none in JSON
    line = next(line for line in complete.splitlines() if mark in line)
    complete = complete.replace(line, f"{line}\n{line.replace(mark, f'message: {message}')}")
    written = []
    for name, template in (("pod-ready", ready), ("pod-complete", complete)):
        stage = yaml.safe_load(_path(name).read_text())
        stage["spec"]["next"]["statusTemplate"] = template
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(stage))
        written.append(path)
    return tuple(written)


def _path(name: str) -> Path:
    return tools.ensure("kwok") / "manifests/kustomize/stage/pod/fast" / f"{name}.yaml"


def _stage(name: str) -> str:
    return str(yaml.safe_load(_path(name).read_text())["spec"]["next"]["statusTemplate"])
