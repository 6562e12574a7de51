"""What the report is made of: run objects with their stages' artifacts, fetched and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from astra_jobs.api.artifact import KINDS, Artifact, Manifest
from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.records.funnel import StageReport

# The stage whose artifact is the run's product; the other unsharded stages come before and after it.
STAGES: dict[str, tuple[str, ...]] = {
    "ToolCorpus": ("collect",),
    "ChainSynthesis": ("merge",),
    "EnvSynthesis": ("merge",),
    "SFTRun": ("prepare", "train", "evaluate"),
    "RLRun": ("prepare", "train", "evaluate"),
}


@dataclass(frozen=True)
class Stage:
    """A finished stage: its artifact and the local folder of its files."""

    name: str
    artifact: Artifact
    manifest: Manifest
    folder: Path


@dataclass(frozen=True)
class Run:
    """A run object as the cluster holds it (dict of Kubernetes shape) and its finished stages in order."""

    body: dict[str, Any]
    stages: list[Stage]

    @property
    def kind(self) -> str:
        """Kind of the run."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.body["metadata"].get("name", ""))

    @property
    def key(self) -> str:
        """Anchor of the run in the page."""
        return f"{self.kind}-{self.name}".lower()

    @property
    def status(self) -> dict[str, Any]:
        """Status of the run, empty when it was never seen."""
        return dict(self.body.get("status") or {})

    @property
    def attempt(self) -> dict[str, Any]:
        """The attempt that status speaks of."""
        return dict(self.status.get("attempt") or {})

    def stage(self, name: str) -> Stage | None:
        """Return a finished stage."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition, empty when it is not set."""
        return next((dict(item) for item in self.status.get("conditions", []) if item.get("type") == kind), {})

    def state(self) -> tuple[str, str]:
        """Return the run's state in one word, and the words that go with it."""
        done = self.condition("Succeeded")
        reason, message = str(done.get("reason", "")), str(done.get("message", ""))
        if done.get("status") == "True":
            return "Succeeded", reason
        if done.get("status") == "False":
            return "Failed", f"{reason}: {message}" if message else reason
        if self.condition("Suspended").get("status") == "True":
            return "Suspended", message
        stage = self.status.get("stage")
        return ("Running", f"stage {stage}") if stage else ("Waiting", message or reason or "not started")


def in_order(runs: list[Run]) -> list[Run]:
    """Sort runs by their place in the pipeline, then by name."""
    places = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(runs, key=lambda run: (places.get(run.kind, len(places)), run.name))  # type: ignore[call-overload]


def read_report(stage: Stage) -> StageReport | None:
    """Read report.json of a synthesis stage; None for a stage whose report has another form."""
    path = stage.folder / "report.json"
    if not path.exists():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or "funnel" not in data:
        return None
    try:
        return StageReport.model_validate(data)
    except ValidationError as error:
        raise BadInput(
            f"{stage.artifact.uri}/report.json", "InputUnavailable", f"not a StageReport: {explain(error, StageReport)}"
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file of an artifact."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(path.name, "InputUnavailable", f"is no JSON ({error}); run what made it again") from None


def read_curve(stage: Stage) -> list[dict[str, float]]:
    """Read curve.jsonl: one object of numbers a line, each with its step."""
    path = stage.folder / "curve.jsonl"
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
            rows.append({name: float(value) for name, value in row.items()})
            row["step"]
        except (ValueError, TypeError, AttributeError, KeyError):
            raise BadInput(f"curve.jsonl:{number}", "InputUnavailable", "is no line of a curve; run what made it again") from None
    return rows
