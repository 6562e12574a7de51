"""The engine's own promises: bounds, deadlines, leases, forks by replay, hostile replies, order after a loss."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.inside.frames import REPLY
from astra_jobs.sandbox.pool import Engine, Overloaded, SessionConflict, UnknownEnvironment, Walls, process_sandbox
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, SequenceConflict
from tests.conformance.sandbox.ways import COUNT, ECHO, NAP, SPIN, tool
from tests.patience import patience
from tests.unit.sandbox.waiting import process_of, until

LIMITS = SandboxLimits(seconds=0.2)


def run(body: Callable[[Engine], Awaitable[None]], limits: SandboxLimits = LIMITS, **settings: Any) -> None:
    async def outer() -> None:
        async with process_sandbox(limits, prove=False, **settings) as engine:
            await asyncio.wait_for(body(engine), patience())

    asyncio.run(outer())


def submitted(
    engine: Engine, session: str, seq: int, tool: str, deadline: float | None = None, **arguments: Any
) -> asyncio.Future[CallResult]:
    answer: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    engine.submit(session, seq, tool, arguments, deadline, answer.set_result)
    asyncio.get_running_loop().call_soon(engine.flush)  # after all that a test submits at once
    return answer


def test_requests_about_sessions_are_refused_by_type() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        with pytest.raises(UnknownEnvironment):
            engine.create("sha256:0", 0)
        assert engine.create(environment, 0, session="a") == engine.create(environment, 0, session="a") == "a"
        with pytest.raises(SessionConflict):
            engine.create(environment, 1, session="a")
        engine.create(environment, 0, session="b")
        with pytest.raises(Overloaded) as error:
            engine.create(environment, 0, session="c")
        assert error.value.retry_after > 0
        with pytest.raises(BadInput, match="twice"):
            await engine.put([COUNT, COUNT])
        with pytest.raises(KeyError):
            engine.fork("nobody", None, None)
        assert engine.renew(["a", "nobody"]) == ["nobody"]

    run(body, sessions=2)


def test_queues_are_bounded_and_say_when_to_come_back() -> None:
    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([COUNT]), 0)
        answers = [submitted(engine, one, seq, "count") for seq in range(6)]
        results = await asyncio.gather(*answers)
        assert [result.outcome for result in results] == ["ok"] * 4 + ["overloaded"] * 2
        assert results[-1].retry_after > 0
        assert not results[-1].trusted
        assert (await engine.call(one, 4, "count", {})).value == 5

    run(body, session_queue=4)


def test_a_call_that_waited_past_its_deadline_is_never_run_nor_are_those_behind_it() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, SPIN])
        busy, waiting = engine.create(environment, 0), engine.create(environment, 1)
        first = submitted(engine, busy, 0, "spin")
        await until(engine.pids)
        now = asyncio.get_running_loop().time()
        late, behind = submitted(engine, waiting, 0, "count", now + 0.1), submitted(engine, waiting, 1, "count")
        assert [(await one).outcome for one in (late, behind)] == ["overloaded", "overloaded"]
        assert (await first).outcome == "limit_time"
        assert (await engine.call(waiting, 2, "count", {})).value == 1

    run(body, SandboxLimits(seconds=1.0), parallel=1)


def test_a_deadline_that_passes_behind_a_running_call_counts_too() -> None:
    async def body(engine: Engine) -> None:
        slow = tool("slow", "def slow():\n    return sum(range(3 * 10 ** 6))\n")
        session = engine.create(await engine.put([COUNT, slow]), 0)
        await engine.call(session, 0, "count", {})
        now = asyncio.get_running_loop().time()
        answers = [
            submitted(engine, session, 1, "slow"),
            submitted(engine, session, 2, "count", now + 0.001),
            submitted(engine, session, 3, "count"),
        ]
        results = await asyncio.gather(*answers)
        assert [result.outcome for result in results] == ["ok", "overloaded", "overloaded"]
        assert (await engine.call(session, 4, "count", {})).value == 2

    run(body, SandboxLimits(seconds=10))


def test_a_call_that_ran_cannot_say_that_its_deadline_passed_before() -> None:
    late = tool(
        "late",
        f"""
import os, select, struct
def late():
    select.poll().poll(300)
    os.write(3, struct.pack({REPLY.format!r}, 0, 1, 4, 0))
    select.select([], [], [])
""",
    )

    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([late, COUNT]), 0)
        now = asyncio.get_running_loop().time()
        assert (await submitted(engine, one, 0, "late", now + 0.2)).outcome == "tool_error"
        assert (await engine.call(one, 1, "count", {})).value == 1

    run(body)


def test_a_call_is_handed_out_behind_others_only_while_they_leave_it_time() -> None:
    async def body(engine: Engine) -> None:
        session = engine.create(await engine.put([COUNT]), 0)
        now = asyncio.get_running_loop().time()
        answers = [submitted(engine, session, seq, "count", now + 60) for seq in range(100)]
        await until(lambda: session in engine.pids())
        assert len(engine._sessions[session].process.inflight) <= 6
        assert [(await one).value for one in answers] == list(range(1, 101))

    run(body, SandboxLimits(seconds=10))


def test_leases_end_sessions_and_heartbeats_and_calls_keep_them() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        for name in ("left", "renewed", "called"):
            engine.create(environment, 0, session=name, lease=3)
        engine.create(environment, 0, session="forever")
        start = time.monotonic()
        await engine.call("left", 0, "count", {})
        seq = 0
        while engine.counts()["sessions"] == 4:
            assert time.monotonic() - start < patience()
            seq += 1
            assert engine.renew(["renewed"]) == []
            assert (await engine.call("called", seq, "count", {})).value == seq
            await asyncio.sleep(0.02)
        assert engine.renew(["left", "renewed", "called", "forever"]) == ["left"]
        assert (await engine.call("left", 1, "count", {})).outcome == "session_lost"
        assert time.monotonic() - start >= 3

    run(body)


def test_a_lease_does_not_end_while_a_call_waits_for_its_answer() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, SPIN])
        session = engine.create(environment, 0, lease=0.05)
        answers = [submitted(engine, session, seq, name) for seq, name in enumerate(["count", "spin", "count"])]
        assert [result.outcome for result in await asyncio.gather(*answers)] == ["ok", "limit_time", "ok"]
        await until(lambda: engine.counts()["sessions"] == 0)

    run(body, SandboxLimits(seconds=1))


def test_a_fork_goes_on_from_where_the_history_was_cut() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, SPIN])
        one = engine.create(environment, 5)
        results = [await engine.call(one, seq, name, {}) for seq, name in enumerate(["count", "spin", "count", "count"])]
        whole, cut, named = engine.fork(one, None, None), engine.fork(one, None, 2), engine.fork(one, "branch", 0)
        assert named == engine.fork(one, "branch", 0)
        again = [await engine.call(name, 9, "count", {}) for name in (whole, cut, named, one)]
        assert [result.value for result in again] == [4, 3, 2, 4]
        assert again[0].state == again[3].state
        assert again[1].state == results[3].state

    run(body)


def test_a_session_with_a_log_is_replayed_and_compared() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, ECHO])
        log = [("count", {}, "ok", "1"), ("echo", {}, "invalid_args", "missing argument x"), ("count", {}, "ok", "2")]
        one = engine.create(environment, 0, log=log)
        assert (await engine.call(one, 7, "count", {})).value == 3
        other = engine.create(environment, 0)
        states = [(await engine.call(other, seq, "count", {})).state for seq in range(3)]
        assert (await engine.call(one, 7, "count", {})).state == states[2]
        wrong = engine.create(environment, 0, log=[("count", {}, "ok", "8")])
        assert (await engine.call(wrong, 0, "count", {})).outcome == "session_lost"
        with pytest.raises(BadInput, match=r"log\[0\]"):
            engine.create(environment, 0, log=[("nothing", {}, "ok", "8")])
        long = engine.create(environment, 0, log=[("count", {}, "ok", str(number)) for number in range(1, 301)])
        assert (await engine.call(long, 0, "count", {})).value == 301

    run(body)


def test_a_call_that_ended_its_process_before_is_left_out_of_the_history() -> None:
    leave = tool("leave", "import os\ndef leave():\n    os._exit(0)\n")

    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT, leave])
        one = engine.create(environment, 0)
        results = [await engine.call(one, seq, name, {}) for seq, name in enumerate(["count", "leave", "count"])]
        assert [(result.outcome, result.text) for result in results] == [
            ("ok", "1"),
            ("tool_error", "the tool ended its process"),
            ("ok", "2"),
        ]
        assert results[0].state == results[1].state
        log = [(name, {}, result.outcome, result.text) for name, result in zip(["count", "leave", "count"], results, strict=True)]
        assert (await engine.call(engine.create(environment, 0, log=log), 0, "count", {})).value == 3

    run(body)


HOSTILE = {
    "a length that lies": "os.write(3, b'\\xff' * 4 + b'\\0' * 60)",
    "no bytes of a frame": "os.write(3, b'\\0' * 3)\n    os._exit(0)",
    "another call's number": f"os.write(3, struct.pack({REPLY.format!r}, 1, 77, 0, 0) + b'1')",
    "an unknown outcome": f"os.write(3, struct.pack({REPLY.format!r}, 1, 1, 9, 0) + b'1')",
    "text that is no text": f"os.write(3, struct.pack({REPLY.format!r}, 1, 1, 0, 0) + b'\\xff')",
    "a result over the limit": f"os.write(3, struct.pack({REPLY.format!r}, 9000, 1, 0, 0) + b'1' * 9000)",
    "that it was never run": f"os.write(3, struct.pack({REPLY.format!r}, 0, 1, 4, 0))",
    "a closed socket": "os.close(3)\n    select.select([], [], [])",
    "a message without end": "b = b'1' * 65536\n    while True: os.write(3, b)",
}


@pytest.mark.parametrize("deed", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_session_that_breaks_the_protocol_fails_its_call_alone(deed: str) -> None:
    evil = tool("evil", f"import os, select, struct\ndef evil():\n    {deed}\n    select.select([], [], [])\n")

    async def body(engine: Engine) -> None:
        environment = await engine.put([evil, COUNT])
        one, neighbour = engine.create(environment, 0), engine.create(environment, 0)
        assert (await engine.call(neighbour, 0, "count", {})).value == 1
        assert (await engine.call(one, 0, "evil", {})).outcome == "tool_error"
        assert (await engine.call(neighbour, 1, "count", {})).value == 2
        assert (await engine.call(one, 1, "count", {})).value == 1

    run(body)


def test_answers_that_nobody_asked_for_change_nothing_for_others() -> None:
    forged = f"os.write(3, b''.join(struct.pack({REPLY.format!r}, 1, n, 0, 0) + b'7' for n in (1, 2, 3)))"
    evil = tool("evil", f"import os, struct\ndef evil():\n    {forged}\n    return 1\n")

    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([evil, COUNT]), 0)
        await engine.call(one, 0, "evil", {})
        await until(lambda: engine.counts().get("breaches_total"))
        assert (await engine.call(one, 1, "count", {})).outcome in ("ok", "tool_error")  # its own session's word, as before
        assert (await engine.call(engine.create((await engine.put([COUNT])), 0), 0, "count", {})).value == 1

    run(body)


def test_a_tool_that_disarms_its_timer_is_still_stopped_near_its_cpu_limit() -> None:
    code = "import signal\ndef f():\n    signal.setitimer(signal.ITIMER_PROF, 0)\n    while True: pass\n"

    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([tool("f", code)]), 0)
        start = time.monotonic()
        assert (await engine.call(one, 0, "f", {})).outcome == "limit_time"
        assert engine.counts()["kills_total"] == 1
        assert time.monotonic() - start < patience(), "it is stopped"

    run(body, SandboxLimits(seconds=0.3))


def test_results_of_infrastructure_stop_what_is_behind_and_are_not_kept() -> None:
    async def body(engine: Engine) -> None:
        session = engine.create(await engine.put([COUNT, tool("die", "import os\ndef die():\n    os.kill(os.getpid(), 9)\n")]), 0)
        answers = [submitted(engine, session, seq, name) for seq, name in enumerate(["count", "die", "count"])]
        assert [(await one).outcome for one in answers] == ["ok", "session_lost", "session_lost"]
        assert (await engine.call(session, 1, "count", {})).value == 2  # the number is free again

    run(body, walls=Walls(signals=False))


def test_conflicts_are_found_while_the_first_call_still_runs() -> None:
    async def body(engine: Engine) -> None:
        session = engine.create(await engine.put([NAP, COUNT]), 0)
        first, same = submitted(engine, session, 0, "nap"), submitted(engine, session, 0, "nap")
        with pytest.raises(SequenceConflict):
            engine.submit(session, 0, "count", {}, None, lambda _: None)
        assert (await first).outcome == (await same).outcome == "limit_time"
        assert engine.counts()["limit_time_total"] == 1

    run(body, SandboxLimits(seconds=0.05))


def test_zygotes_make_room_for_each_other_and_sessions_come_back() -> None:
    async def body(engine: Engine) -> None:
        environments = [await engine.put([COUNT, tool(f"t{number}", f"def t{number}():\n    return {number}\n")]) for number in range(6)]
        sessions = [engine.create(environment, 0) for environment in environments]
        for turn in range(3):
            results = await asyncio.gather(*(engine.call(one, turn, "count", {}) for one in sessions))
            assert [result.value for result in results] == [turn + 1] * 6
        assert engine.counts()["zygotes"] <= 2

    run(body, environments=2, live=4)


def test_a_killed_environment_zygote_costs_its_sessions_nothing() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([COUNT])
        one = engine.create(environment, 0)
        assert (await engine.call(one, 0, "count", {})).value == 1
        child = await process_of(engine, one)
        zygote = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(zygote, signal.SIGKILL)
        await until(lambda: environment not in engine.calls.rooms.zygotes)
        await until(lambda: not os.path.exists(f"/proc/{child}"))  # it died with its zygote and was reaped
        assert (await engine.call(one, 1, "count", {})).value == 2

    run(body)


def test_sources_that_break_the_compiler_are_the_tools_fault() -> None:
    nested = tool("f", "x = " + "(" * 5000 + ")" * 5000)
    zeros = tool("g", "\0")

    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([nested, zeros, COUNT]), 0)
        assert [(await engine.call(one, seq, name, {})).outcome for seq, name in enumerate("fg")] == ["tool_error"] * 2
        assert (await engine.call(one, 2, "count", {})).value == 1

    run(body)


def test_registered_environments_are_bounded_and_those_in_use_stay() -> None:
    async def body(engine: Engine) -> None:
        used = await engine.put([COUNT])
        engine.create(used, 0)
        digests = [await engine.put([tool("f", f"def f(): return {number}")]) for number in range(6)]
        assert engine.environment(used) is not None
        assert [engine.environment(digest) is not None for digest in digests] == [False] * 4 + [True] * 2

    run(body, bundles=3)
