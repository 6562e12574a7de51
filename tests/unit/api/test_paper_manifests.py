"""``manifests/paper`` says what the paper says: every constant of the paper has its value there, written out or by default."""

from pathlib import Path
from typing import Any

import pytest

from astra_cli.manifests import load
from astra_jobs.api.artifact import KINDS
from astra_jobs.api.v1alpha1 import MODELS
from tests.unit.api.test_paper_defaults import PAPER

FOLDER = Path(__file__).parents[3] / "manifests" / "paper"
RUNS = {run["kind"]: run for run in load([FOLDER]).runs}


def value_at(spec: Any, path: str) -> Any:
    for name in path.split("."):
        spec = spec[name]
    return spec


def test_every_kind_is_there_once() -> None:
    assert list(RUNS) == list(KINDS)
    assert len(list(FOLDER.glob("*.yaml"))) == len(KINDS)


@pytest.mark.parametrize("path", PAPER)
def test_a_constant_of_the_paper_holds(path: str) -> None:
    kind, _, rest = path.partition(".")
    effective = MODELS[kind].model_validate(RUNS[kind]).spec.model_dump(by_alias=True)  # type: ignore[index]
    assert value_at(effective, rest) == PAPER[path]


def test_names_refer_to_each_other() -> None:
    named = {run["metadata"]["name"] for run in RUNS.values()}
    assert RUNS["ChainSynthesis"]["spec"]["corpus"]["name"] in named
    assert {item["name"] for item in RUNS["SFTRun"]["spec"]["data"]} <= named
    assert RUNS["RLRun"]["spec"]["model"]["run"]["name"] in named


def test_the_model_is_long_enough_for_both_trainings() -> None:
    longest = RUNS["SFTRun"]["spec"]["model"]["random"]["maxLength"]
    rollout = RUNS["RLRun"]["spec"]["rollout"]
    assert longest >= rollout["maxPromptTokens"] + rollout["maxResponseTokens"]
    assert longest >= RUNS["SFTRun"]["spec"]["training"]["maxLength"]
