"""The paper's constants are the defaults of the fields that are named after them."""

from typing import Any

import pytest
from pydantic import BaseModel

from astra_jobs.api.v1alpha1 import MODELS

PAPER: dict[str, Any] = {
    "ToolCorpus.filters.minToolsPerServer": 3,
    "ChainSynthesis.walks.minLength": 2,
    "ChainSynthesis.walks.maxLength": 5,
    "ChainSynthesis.tasks.maxTools": 3,
    "ChainSynthesis.augment.variants": ["Diversity", "Complexity", "Persona"],
    "ChainSynthesis.rollout.maxTurns": 20,
    "ChainSynthesis.rollout.failureRate": 0.2,
    "EnvSynthesis.distractors.high": 0.85,
    "EnvSynthesis.distractors.low": 0.4,
    "SFTRun.training.epochs": 2.0,
    "SFTRun.training.maxLength": 20_000,
    "SFTRun.training.batchSize": 32,
    "SFTRun.training.optimizer.name": "AdamW",
    "SFTRun.training.optimizer.learningRate": 5e-6,
    "SFTRun.training.schedule.name": "Cosine",
    "SFTRun.training.schedule.warmup": 0.05,
    "RLRun.rollout.maxTurns": 32,
    "RLRun.rollout.maxPromptTokens": 25_600,
    "RLRun.rollout.maxResponseTokens": 49_152,
    "RLRun.rollout.temperature": 1.0,
    "RLRun.algorithm.groupsPerStep": 256,
    "RLRun.algorithm.reward": "F1",
    "RLRun.training.optimizer.name": "AdamW",
    "RLRun.training.optimizer.learningRate": 2e-6,
}
OURS: dict[str, Any] = {
    "RLRun.algorithm.groupSize": 8,
    "RLRun.algorithm.clip": 0.2,
    "RLRun.algorithm.stdFloor": 0.02,
    "RLRun.algorithm.minStd": 1e-4,
    "RLRun.algorithm.maxRounds": 10,
    "RLRun.training.optimizer.betas": [0.9, 0.95],
    "RLRun.training.optimizer.weightDecay": 0.01,
    "RLRun.training.optimizer.maxGradientNorm": 1.0,
    "RLRun.rollout.maxToolChars": 4096,
    "ChainSynthesis.judge.minMean": 0.85,
    "ChainSynthesis.judge.minAxis": 0.5,
    "ChainSynthesis.judge.minCanaryAccuracy": 0.9,
    "ChainSynthesis.score.questionQuality": 4,
    "ChainSynthesis.score.scenarioRealism": 4,
    "ChainSynthesis.score.toolNecessity": 3,
    "EnvSynthesis.quality.minScore": 0.95,
    "EnvSynthesis.distractors.perBand": 3,
    "EnvSynthesis.heldOut": 0.1,
}


def default_at(path: str) -> Any:
    kind, *names = path.split(".")
    value: Any = MODELS[kind].model_fields["spec"].annotation  # type: ignore[index]
    for name in names:
        model = value if isinstance(value, type) else type(value)
        assert issubclass(model, BaseModel), f"{path}: nothing below {name}"
        field = next(info for info in model.model_fields.values() if info.alias == name)
        value = getattr(value, _python_name(model, name)) if not isinstance(value, type) else field.get_default(call_default_factory=True)
    return value


def _python_name(model: type[BaseModel], alias: str) -> str:
    return next(name for name, info in model.model_fields.items() if info.alias == alias)


@pytest.mark.parametrize(("path", "value"), [*PAPER.items(), *OURS.items()])
def test_default(path: str, value: Any) -> None:
    assert default_at(path) == value


def fields(model: type[BaseModel], prefix: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, info in model.model_fields.items():
        path = f"{prefix}.{info.alias or name}"
        found[path] = dict(info.json_schema_extra) if isinstance(info.json_schema_extra, dict) else {}
        annotation = info.annotation
        for inner in [annotation, *getattr(annotation, "__args__", ())]:
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= fields(inner, path)
    return found


def test_every_field_that_claims_the_paper_is_in_the_table() -> None:
    marked = {path for kind, model in MODELS.items() for path, extra in fields(model, kind).items() if extra.get("x-source") == "paper"}
    marked = {path.replace(".spec.", ".") for path in marked}
    assert {path for path in marked if not any((known + ".").startswith(path + ".") for known in PAPER)} == set()
