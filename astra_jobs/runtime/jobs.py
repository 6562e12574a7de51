"""The table of stages: which function does which stage of which kind, imported only when it runs.

Importing late keeps a pod that collects tool documents free of torch, and an image for synthesis free of the trainers.
"""

import importlib
from typing import cast

from astra_jobs.api.artifact import Kind
from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import JobFunction
from astra_jobs.api.request import StageRequest

JOBS: dict[tuple[Kind, str], str] = {
    ("ToolCorpus", "collect"): "astra_jobs.toolcorpus.job:collect",
    ("ChainSynthesis", "synthesise"): "astra_jobs.chains.job:synthesise",
    ("ChainSynthesis", "merge"): "astra_jobs.chains.job:merge",
    ("EnvSynthesis", "synthesise"): "astra_jobs.envs.job:synthesise",
    ("EnvSynthesis", "merge"): "astra_jobs.envs.job:merge",
    ("SFTRun", "prepare"): "astra_jobs.sft.job:prepare",
    ("SFTRun", "train"): "astra_jobs.sft.job:train",
    ("SFTRun", "evaluate"): "astra_jobs.evaluation.job:evaluate",
    ("RLRun", "prepare"): "astra_jobs.rl.job:prepare",
    ("RLRun", "train"): "astra_jobs.rl.job:train",
    ("RLRun", "evaluate"): "astra_jobs.evaluation.job:evaluate",
}

TOOLS_IN_POOL: frozenset[tuple[Kind, str]] = frozenset(
    {("EnvSynthesis", "synthesise"), ("EnvSynthesis", "merge"), ("SFTRun", "evaluate"), ("RLRun", "train"), ("RLRun", "evaluate")}
)
"""Stages that run tools in the pool that their request names."""


def check_isolation(request: StageRequest) -> None:
    """Raise BadInput, with the reason SandboxRuntimeMissing, for a stage that would run tools with less isolation than was promised.

    A promise of more than is kept is refused, never quietly broken.
    """
    if request.isolation == "Process":
        return
    in_pool = (request.kind, request.stage) in TOOLS_IN_POOL
    if in_pool and (request.sandbox is None or request.sandbox.isolation != request.isolation):
        found = f"found {request.isolation}; {request.kind} {request.stage}"
        message = f"{found} was given no pool of that isolation; an operator of this version makes one"
        raise BadInput("isolation", "SandboxRuntimeMissing", message)


def load(kind: Kind, stage: str) -> JobFunction:
    """Import and return the function of a stage; an unknown stage is refused."""
    name = JOBS.get((kind, stage))
    if name is None:
        known = ", ".join(stage for known_kind, stage in JOBS if known_kind == kind)
        raise BadInput("request.stage", "BadInput", f"found {stage!r}; {kind} has the stages {known}")
    module, _, function = name.partition(":")
    return cast(JobFunction, getattr(importlib.import_module(module), function))
