"""Irrelevant tools from three bands of similarity (SPEC 3.8).

The pool is all tools of a split's environments, unique by name. For each tool in scope its cosines to the pool are
min-max normalised over the others; tools of the same domain are taken out; the bands are united over the tools in
scope (a tool in several bands counts in the highest). A tool is refused when it has the name of one in scope, or holds
an answer that a call of it could leak. Each split has its own pool, so that no held-out world is seen in training.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra_jobs.api.v1alpha1.envs import Distractors
from astra_jobs.embed.hashed import Vectors, embed
from astra_jobs.envs.held import Held, constants
from astra_jobs.records.environment import Band, Environment, EnvTool
from astra_jobs.records.tool import Tool
from astra_jobs.schemas import listed

BANDS: tuple[Band, ...] = ("High", "Medium", "Low")
DIGITS = 5
"""Decimals of a normalised similarity that count, so that rounding on another machine changes no band."""


@dataclass(frozen=True)
class Pool:
    """Candidates with the cosines between them and the plain values in their code."""

    tools: list[EnvTool]
    position: dict[str, int]
    normal: Vectors
    held: list[Held]


def described(tool: Tool) -> str:
    """Return the text that is embedded: the description and those of the arguments."""
    arguments = [f"{name} {schema.get('description', '')}" for name, schema in listed(tool.parameters).properties.items()]
    return " ".join([tool.description, *arguments])


def pool_of(environments: Sequence[Environment]) -> Pool:
    """Collect the tools of environments; of equal names the first one stays."""
    unique: dict[str, EnvTool] = {}
    for environment in environments:
        for entry in environment.tools:
            unique.setdefault(entry.tool.name, entry)
    tools = [unique[name] for name in sorted(unique)]
    vectors = embed([described(entry.tool) for entry in tools])
    position = {entry.tool.name: index for index, entry in enumerate(tools)}
    return Pool(tools, position, normalised(vectors @ vectors.T), [constants(entry.code) for entry in tools])


def normalised(cosines: Vectors) -> Vectors:
    """Return each row min-max normalised over the other columns; the diagonal is 1, a constant row 0."""
    rows = cosines.astype(np.float32).copy()
    count = len(rows)
    if count < 2:
        return np.ones_like(rows)
    others = ~np.eye(count, dtype=bool)
    low = np.where(others, rows, np.inf).min(axis=1, keepdims=True)
    high = np.where(others, rows, -np.inf).max(axis=1, keepdims=True)
    span = high - low
    scaled = np.divide(rows - low, span, out=np.zeros_like(rows), where=span > 0)
    np.fill_diagonal(scaled, 1.0)
    return np.asarray(np.round(scaled, DIGITS), dtype=np.float32)


def band_of(value: float, settings: Distractors) -> Band:
    """Name the band of a normalised similarity: above ``high``, below ``low``, or between, both ends included."""
    if value > settings.high:
        return "High"
    return "Low" if value < settings.low else "Medium"


def candidates(environment: Environment, pool: Pool, settings: Distractors) -> tuple[dict[Band, list[int]], int]:
    """Return the pool positions of each band for an environment, and how many candidates leaked an answer."""
    names = {entry.tool.name for entry in environment.tools}
    rows = pool.normal[[pool.position[entry.tool.name] for entry in environment.tools]]
    best = rows.max(axis=0)
    bands: dict[Band, list[int]] = {band: [] for band in BANDS}
    leaks = 0
    for index, entry in enumerate(pool.tools):
        if entry.domain == environment.domain or entry.tool.name in names:
            continue
        if any(pool.held[index].leaks(target.answer) for target in environment.targets):
            leaks += 1
            continue
        bands[band_of(float(best[index]), settings)].append(index)
    return bands, leaks


def mix(environment: Environment, pool: Pool, settings: Distractors, rng: random.Random) -> tuple[Environment, dict[str, int]]:
    """Return the environment with up to ``perBand`` tools of each band, all tools shuffled, and counts."""
    bands, leaks = candidates(environment, pool, settings)
    counts = {"distractorsRefusedForLeaks": leaks}
    tools = list(environment.tools)
    for band in BANDS:
        drawn = rng.sample(bands[band], min(settings.per_band, len(bands[band])))
        counts[f"distractors{band}"] = len(drawn)
        tools += [pool.tools[index].model_copy(update={"band": band}) for index in drawn]
    rng.shuffle(tools)
    return environment.model_copy(update={"tools": tools}), counts
