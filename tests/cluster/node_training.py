"""A tiny training of two ranks for the end-to-end tests: its manifests, and what tests ask about it."""

import json
import re
from typing import Any

from tests.cluster.node_team import Team

DATA = """
apiVersion: astra.dev/v1alpha1
kind: ToolCorpus
metadata: {name: tools}
spec:
  sources: [{name: worlds, procedural: {servers: 24, worlds: {entityTypes: 2, rows: 3, maxHops: 1, parallel: 0}}}]
---
apiVersion: astra.dev/v1alpha1
kind: ChainSynthesis
metadata: {name: chains}
spec: {corpus: {name: tools}, author: {procedural: {}}, walks: {minLength: 1, maxLength: 2, perServer: 6}}
"""
# ``rerun`` makes each an attempt of its own: the store has no answer to it.
SFT = """
apiVersion: astra.dev/v1alpha1
kind: SFTRun
metadata: {name: NAME}
spec:
  rerun: NAME
  model: {random: {}}
  data: [{name: chains}]
  training: {epochs: EPOCHS, maxLength: 1024, batchSize: 16, ranks: 2}
  checkpoints: {everySteps: 4}
"""
STEPS_BEFORE = 6  # so that a checkpoint is there


def start(team: Team, name: str, epochs: int = 2, **more: Any) -> str:
    """Start a training, with more fields in its spec; return how the names of its train stage's pods begin."""
    manifest = SFT.replace("NAME", name).replace("EPOCHS", str(epochs))
    team.apply(manifest + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in more.items()))
    return f"{name}-sft-1-train"


def both_train(team: Team, launch: str) -> list[dict[str, Any]]:
    """Wait until a launch has written a checkpoint; return its pods, the master first."""
    team.wait(f"{launch} is on its way", lambda: team.step(launch) >= STEPS_BEFORE, 120)
    pods = team.pods(launch)
    assert [pod["metadata"]["labels"]["training.kubeflow.org/replica-type"] for pod in pods] == ["master", "worker"]
    return pods


def first_step(team: Team, launch: str) -> int:
    """Return the step that the log of a launch's master begins with."""
    log = team.kubectl("logs", f"{launch}-master-0")
    found = re.search(r"^[0-9:]{8} (\d+)/\d+ loss", log, re.MULTILINE)
    assert found, log
    return int(found[1])


def made(team: Team, name: str) -> dict[str, Any]:
    """Return what a training has made; the key in its manifest differs, because ``rerun`` does."""
    manifest = team.manifest(f"sftrun/{name}", "train")
    return {"files": {file["path"]: file["sha256"] for file in manifest["files"]}, "metrics": manifest["metrics"]}


def patch(team: Team, name: str, **spec: Any) -> None:
    """Change fields of a training's spec."""
    team.kubectl("patch", "sftrun", name, "--type=merge", "-p", json.dumps({"spec": spec}))
