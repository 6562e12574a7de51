"""What is remembered only to be timed out goes when it is over, not when its time would have come."""

import asyncio
from collections.abc import Awaitable, Callable

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import COUNT, ECHO
from tests.patience import patience

HOUR = 3600.0


def run(body: Callable[[Engine], Awaitable[None]]) -> None:
    async def outer() -> None:
        async with process_sandbox(SandboxLimits(), prove=False) as engine:
            await asyncio.wait_for(body(engine), patience())

    asyncio.run(outer())


def test_a_closed_session_leaves_no_lease_behind() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        kept = [engine.create(environment, seed, lease=HOUR) for seed in range(10)]
        most = 0
        for seed in range(2000):
            await engine.close(engine.create(environment, seed, lease=HOUR))
            most = max(most, len(engine._leases))
        assert most < 200
        again = engine.create(environment, 0, session="again", lease=HOUR)
        for _ in range(2000):
            await engine.close("again")
            assert engine.create(environment, 0, session="again", lease=HOUR) == again
        assert len(engine._leases) < 200
        assert {name for _, name in engine._leases} >= {*kept, again}, "those that are open still end by their leases"

    run(body)


def test_leases_still_end_sessions_after_others_were_cleared_away() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        short, long = engine.create(environment, 0, lease=1.0), engine.create(environment, 0, lease=HOUR)
        for seed in range(500):
            await engine.close(engine.create(environment, seed, lease=HOUR))
        async with asyncio.timeout(patience()):
            while engine.has(short):
                await asyncio.sleep(0.01)
        assert engine.has(long)

    run(body)


def test_an_answered_call_is_not_kept_for_its_deadline() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, ECHO])
        far = asyncio.get_running_loop().time() + HOUR
        for seed in range(60):
            name = engine.create(environment, seed)
            answers = [asyncio.get_running_loop().create_future() for _ in range(100)]
            for seq, answer in enumerate(answers):
                tool = "count" if seq % 2 else "echo"  # every other one lacks an argument and reaches no process
                engine.submit(name, seq, tool, {}, far, answer.set_result)
            engine.flush()
            await asyncio.gather(*answers)
            await engine.close(name)
        async with asyncio.timeout(patience()):
            while len(engine.calls.deadlines) > 1500:
                await asyncio.sleep(0.01)

    run(body)
