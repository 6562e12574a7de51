"""Nobody's calls keep another environment's waiting: turns, calls that stand still, processes and places in the queue."""

import asyncio
from typing import Any

import pytest

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.pool.idle import Idle
from astra_jobs.sandbox.pool.line import Line
from astra_jobs.sandbox.pool.records import Bundle, Pending, Session
from astra_jobs.sandbox.pool.watchdog import Watchdog
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits
from tests.conformance.sandbox.ways import COUNT, NAP, tool
from tests.unit.sandbox.waiting import until

BURN = tool("burn", "def burn():\n    return sum(range(2 * 10 ** 6))\n")


def run(body: Any, limits: SandboxLimits = SandboxLimits(), **settings: Any) -> None:  # noqa: B008 - a constant
    async def outer() -> None:
        async with process_sandbox(limits, prove=False, **settings) as engine:
            await asyncio.wait_for(body(engine), 120)

    asyncio.run(outer())


def asked(engine: Engine, session: str, seq: int, name: str) -> "asyncio.Future[CallResult]":
    answer = asyncio.get_running_loop().create_future()
    engine.submit(session, seq, name, {}, None, answer.set_result)
    engine.flush()
    return answer


def session_of(environment: str, name: str, calls: int = 0) -> Session:
    made = Session(name, Bundle(environment, [], {}), 0, None)
    made.log = [Pending(-1, b"", 0.0, None)] * calls
    return made


def test_a_line_takes_environments_by_turns_and_sessions_of_each_in_order() -> None:
    line = Line()
    for environment, count in (("a", 4), ("b", 1), ("c", 2)):
        for number in range(count):
            line.add(session_of(environment, f"{environment}{number}"))
    assert (len(line), line.environments) == (7, 3)
    first = line.pop()
    line.put_back(first)
    assert first.in_line
    taken = [line.pop() for _ in range(7)]
    assert [one.id for one in taken] == ["b0", "c0", "a0", "c1", "a1", "a2", "a3"]
    assert not line
    assert not any(one.in_line for one in taken)


@pytest.mark.parametrize("still", [True, False], ids=["looking", "not looking"])
def test_calls_that_stand_still_leave_their_turns_to_others(still: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not still:
        monkeypatch.setattr(Watchdog, "stands_still", lambda self, process, now: False)

    async def body(engine: Engine) -> None:
        noisy, quiet = await engine.put([NAP]), await engine.put([COUNT])
        napping = [asked(engine, engine.create(noisy, seed), 0, "nap") for seed in range(9)]
        await until(lambda: len(engine.calls.rooms.running) >= 2)
        answer = asked(engine, engine.create(quiet, 0), 0, "count")
        await asyncio.wait([answer, *napping], return_when=asyncio.FIRST_COMPLETED)
        assert answer.done() is still
        assert any(one.done() for one in napping) is not still

    run(body, SandboxLimits(seconds=2.0), parallel=2)


def test_a_neighbour_does_not_wait_for_all_that_work() -> None:
    async def body(engine: Engine) -> None:
        noisy, quiet = await engine.put([BURN]), await engine.put([COUNT])
        working = [asked(engine, engine.create(noisy, seed), 0, "burn") for seed in range(40)]
        answer = asked(engine, engine.create(quiet, 0), 0, "count")
        await answer
        assert sum(one.done() for one in working) < 20
        assert {(await one).outcome for one in working} == {"ok"}

    run(body, SandboxLimits(seconds=60), parallel=2)


def test_an_environment_leaves_processes_to_others_however_many_of_its_calls_stand_still() -> None:
    async def body(engine: Engine) -> None:
        noisy, quiet = await engine.put([NAP]), await engine.put([COUNT])
        napping = [asked(engine, engine.create(noisy, seed), 0, "nap") for seed in range(20)]
        await until(lambda: len(engine.calls.rooms.still) >= 6)
        neighbours = [asked(engine, engine.create(quiet, seed), 0, "count") for seed in range(2)]
        await asyncio.wait(neighbours)
        assert not any(one.done() for one in napping)
        assert {(await one).value for one in neighbours} == {1}

    run(body, SandboxLimits(seconds=5.0), parallel=2, live=8)


def test_an_environment_leaves_places_in_the_queue_to_others() -> None:
    async def body(engine: Engine) -> None:
        noisy, quiet = await engine.put([COUNT, BURN]), await engine.put([COUNT])
        many = [engine.create(noisy, seed) for seed in range(8)]
        filling = [asked(engine, one, seq, "burn" if seq == 0 else "count") for one in many for seq in range(10)]
        answer = await asked(engine, engine.create(quiet, 0), 0, "count")
        assert (answer.outcome, answer.value) == ("ok", 1)
        outcomes = [(await one).outcome for one in filling]
        assert set(outcomes) == {"ok", "overloaded"}
        assert outcomes.count("ok") >= 30

    run(body, SandboxLimits(seconds=60), parallel=1, queue=40)


def test_the_process_that_makes_way_was_used_once_and_has_little_to_replay() -> None:
    idle = Idle()
    sessions = [session_of("a", str(number), calls=number) for number in range(10)]
    for one in (*sessions, sessions[3]):
        idle.add(one, again=int(one.id) % 2 == 0)
    idle.discard(sessions[1])
    idle.discard(sessions[1])
    assert len(idle) == len(set(idle)) == 9
    drawn = [int(idle.draw().id) for _ in range(2000)]
    assert set(drawn) == {3, 5, 7, 9}
    assert drawn.count(3) > 3 * drawn.count(9)
    for one in sessions[1::2]:
        idle.discard(one)
    assert {int(idle.draw().id) for _ in range(2000)} == {0, 2, 4, 6, 8}
    for one in sessions:
        idle.discard(one)
    assert not idle
    assert 0 < sum(idle.lucky() for _ in range(2000)) < 400


def test_sessions_that_take_turns_find_most_processes_again_when_there_are_few_too_many() -> None:
    live, rounds = 20, 10

    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        sessions = [engine.create(environment, seed) for seed in range(live + 2)]
        for seq in range(rounds):
            for one in sessions:
                assert (await engine.call(one, seq, "count", {})).value == seq + 1
        calls = rounds * len(sessions)
        assert engine.counts()["processes"] <= live
        assert engine.calls.rooms.forks < calls / 2, "the one that was used longest ago would have been the next each time"

    run(body, live=live)
