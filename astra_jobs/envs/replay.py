"""Replaying written environments in a fresh process (SPEC 3.7): the artifact is proven, not what was in memory.

``python -m astra_jobs.envs.replay LIMITS POOL FILE...`` reads the files and runs every oracle in new sessions with another
hash seed and clock than those of record. It prints one JSON line for each environment that does not hold: oracle 1.0, no
call 0, unique tool names, a target for each oracle call.
"""

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from astra_jobs.api.errors import JobError
from astra_jobs.api.request import SandboxService
from astra_jobs.envs.probes import Play
from astra_jobs.episodes.reward import score
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import EpisodeCall
from astra_jobs.records.lines import read_lines
from astra_jobs.sandbox.choice import sandbox_of
from astra_jobs.sandbox.protocol import Sandbox, SandboxLimits, ToolCode

VARIANT = 1
ABREAST = 8


async def fault(environment: Environment, sandbox: Sandbox) -> str | None:
    """Return what is wrong with an environment, or None."""
    names = [entry.tool.name for entry in environment.tools]
    if len(set(names)) != len(names):
        return "two tools have one name"
    tools = [ToolCode(name=entry.tool.name, parameters=entry.tool.parameters, code=entry.code) for entry in environment.tools]
    play = Play(sandbox, tools, seed=2)
    try:
        results = await play.run([(call.tool, call.arguments) for call in environment.oracle])
    finally:
        await play.close()
    calls = [
        EpisodeCall(turn=turn, tool=call.tool, arguments=call.arguments, outcome=result.outcome, value=result.value)
        for turn, (call, result) in enumerate(zip(environment.oracle, results, strict=False))
    ]
    earned, nothing = score(environment.targets, calls).value, score(environment.targets, []).value
    return None if (earned, nothing) == (1.0, 0.0) else f"the oracle earns {earned:g} and no call {nothing:g}"


async def faults(environments: Iterable[Environment], limits: SandboxLimits, service: SandboxService | None = None) -> dict[str, str]:
    """Return id → what is wrong, of those that do not hold; JobError when that cannot be found out."""
    found: dict[str, str] = {}
    gate = asyncio.Semaphore(ABREAST)
    async with sandbox_of(service, limits, VARIANT) as sandbox:

        async def one(environment: Environment) -> None:
            async with gate:
                wrong = await fault(environment, sandbox)
            if wrong is not None:
                found[environment.id] = wrong

        await asyncio.gather(*(one(environment) for environment in environments))
    return dict(sorted(found.items()))


def main(arguments: list[str]) -> int:
    """Replay files: limits and pool (or null) as JSON, then paths; print {"id", "fault"} lines, or why there are none."""
    limits, given = SandboxLimits.model_validate_json(arguments[0]), json.loads(arguments[1])
    service = SandboxService.model_validate(given) if given is not None else None
    environments = [environment for path in arguments[2:] for environment in read_lines(Path(path), Environment)]
    try:
        found = asyncio.run(faults(environments, limits, service))
    except JobError as error:
        sys.stdout.write(json.dumps([error.where, error.reason, error.message]) + "\n")
        return error.exit_code
    for name, wrong in found.items():
        sys.stdout.write(json.dumps({"id": name, "fault": wrong}) + "\n")
    sys.stdout.write(json.dumps({"replayed": len(environments)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
