"""Many honest calls at once, as a program: ``python -m tests.attacks.crowd SESSIONS PARALLEL ROUNDS SECONDS``.

It prints how often there was each outcome. Walls are not proven; limits are as in a pool.
"""

import asyncio
import json
import sys
from collections import Counter

from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode

CODE = "def work(rounds):\n    total = 0\n    for number in range(rounds):\n        total += number\n    return total\n"
WORK = ToolCode(name="work", parameters={"type": "object", "properties": {"rounds": {"type": "integer"}}}, code=CODE)


async def crowd(sessions: int, parallel: int, rounds: int, seconds: float) -> Counter[str]:
    """Let that many sessions each make one call, so many of them at a time."""
    engine = Engine(PoolSettings(limits=SandboxLimits(seconds=seconds), parallel=parallel, live=sessions, prove=False))
    await engine.start()
    try:
        environment = await engine.put([WORK])
        names = [engine.create(environment, number) for number in range(sessions)]
        await asyncio.gather(*(engine.call(name, 0, "work", {"rounds": 1}) for name in names))  # all are there
        results = await asyncio.gather(*(engine.call(name, 1, "work", {"rounds": rounds}) for name in names))
        return Counter(result.outcome for result in results)
    finally:
        await engine.stop()


if __name__ == "__main__":
    whole = [int(word) for word in sys.argv[1:4]]
    print(json.dumps(asyncio.run(crowd(*whole, float(sys.argv[4])))))
