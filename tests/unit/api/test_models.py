"""Closed models, strict types, results that fit a termination message."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import canonical, digest_of
from astra_jobs.api.result import MAX_BYTES, ErrorInfo, JobResult
from astra_jobs.api.v1alpha1 import MODELS, RLRun, ToolCorpus

META = {"name": "x"}
WORLDS = {"name": "w", "procedural": {"servers": 2}}


def corpus(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": META, "spec": {"sources": [WORLDS], **spec}}


def validate(body: dict[str, Any]) -> Any:
    return MODELS[body["kind"]].model_validate(body, by_alias=True, by_name=False)


def test_a_valid_resource_is_read() -> None:
    run = validate(corpus(seed=3))
    assert isinstance(run, ToolCorpus)
    assert (run.spec.seed, run.spec.filters.min_tools_per_server) == (3, 3)


@pytest.mark.parametrize(
    "spec",
    [
        {"sedd": 1},
        {"seed": "1"},
        {"seed": True},
        {"seed": -1},
        {"suspend": "yes"},
        {"sources": []},
        {"sources": [WORLDS, WORLDS]},
        {"sources": [{"name": "n"}]},
        {"sources": [{**WORLDS, "mcp": {"command": ["x"]}}]},
        {"filters": {"min_tools_per_server": 3}},
        {"onInputChange": "finish"},
    ],
    ids=str,
)
def test_a_wrong_spec_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validate(corpus(**spec))


def test_a_job_launcher_runs_one_rank() -> None:
    spec = {"model": {"run": {"name": "a"}}, "environments": [{"name": "b"}], "launcher": "Job", "training": {"ranks": 2}}
    with pytest.raises(ValidationError, match="one rank"):
        RLRun.model_validate({"kind": "RLRun", "metadata": META, "spec": spec}, by_alias=True, by_name=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(st.dictionaries(st.text(), json_values))
def test_a_digest_does_not_depend_on_key_order(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(list(value.items()))))


def test_numbers_without_json_form_have_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})


@given(st.text(max_size=9000), st.dictionaries(st.text(max_size=40), st.text(max_size=200), max_size=60))
@example("\0" * 9000, {})
def test_a_result_always_fits_and_keeps_its_reason(message: str, metrics: dict[str, str]) -> None:
    error = ErrorInfo(where="spec.x", reason="BadInput", message=message)
    result = JobResult(outcome="Failed", exit_code=78, artifact=Artifact(uri="file:///x", digest="sha256:0"), metrics=metrics, error=error)
    data = result.encode()
    assert len(data) <= MAX_BYTES
    again = JobResult.model_validate_json(data)
    assert again.error is not None
    assert again.error.reason == "BadInput"
    assert again.artifact == result.artifact
