"""A request in a folder of its own, and a job function to answer it."""

import json
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.job import JobFunction
from astra_jobs.api.v1alpha1 import ToolCorpusSpec
from astra_jobs.runtime import jobs


@pytest.fixture
def request_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write ``in/request.json`` of a ToolCorpus with the given changes, in a fresh working directory."""
    for name in ("RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX", "ASTRA_PROGRESS_PORT"):
        monkeypatch.delenv(name, raising=False)
    pod = tmp_path / "pod"
    (pod / "in").mkdir(parents=True)
    monkeypatch.chdir(pod)

    def write(**changes: Any) -> str:
        spec = ToolCorpusSpec.model_validate({"sources": [{"name": "worlds", "procedural": {"servers": 2}}], "seed": 11}).to_dict()
        body = {
            "kind": "ToolCorpus",
            "name": "tools",
            "namespace": "default",
            "uid": "u-1",
            "attempt": 1,
            "digest": digest_of("attempt"),
            "stage": "collect",
            "spec": spec,
            "store": {"url": f"file://{tmp_path}/store"},
            **changes,
        }
        Path("in/request.json").write_text(json.dumps(body))
        return "in/request.json"

    return write


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[JobFunction], None]:
    """Put a function in the place of ToolCorpus's only stage."""

    def install(function: JobFunction) -> None:
        module = types.ModuleType("astra_jobs.toolcorpus.in_test")
        module.collect = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(jobs.JOBS, ("ToolCorpus", "collect"), f"{module.__name__}:collect")

    return install


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.3", 0))
        return int(probe.getsockname()[1])
