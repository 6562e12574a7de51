"""What every sandbox promises, by every way to get one."""

import asyncio
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.records.episode import INFRASTRUCTURE
from astra_jobs.sandbox.protocol import SandboxLimits, SequenceConflict
from tests.conformance.sandbox.ways import COUNT, ECHO, LIMITS, SPIN, TEXT, once, run, tool, way

__all__ = ["run", "way"]


def test_a_value_and_its_text_come_back(run):
    async def body(sandbox):
        result = await once(sandbox, "def f(x):\n    return {'a': [1, 2.5, None, True, x]}\n", {"x": "ü"}, TEXT)
        assert (result.outcome, result.value, result.text) == ("ok", {"a": [1, 2.5, None, True, "ü"]}, '{"a":[1,2.5,null,true,"ü"]}')

    run(body)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing argument x"),
        ({"x": 5}, 'argument x: 5 is not of type "string"'),
        ({"x": "a", "y": 1}, "unknown argument y"),
        ({"x": float("nan")}, "not JSON"),
    ],
)
def test_arguments_are_checked_and_the_field_is_named(run, arguments, message):
    async def body(sandbox):
        result = await once(sandbox, ECHO.code.replace("echo", "f"), arguments, TEXT)
        assert result.outcome == "invalid_args"
        assert message in result.text

    run(body)


def test_arguments_deep_in_an_object_are_named_by_path(run):
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"enum": ["x"]}}, "required": ["b"]}}}

    async def body(sandbox):
        assert "a.b" in (await once(sandbox, "def f(a): return 1", {"a": {"b": "q"}}, schema)).text
        assert "missing argument a.b" in (await once(sandbox, "def f(a): return 1", {"a": {}}, schema)).text

    run(body)


def test_an_unknown_tool_is_an_outcome(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([ECHO]), 0)
        result = await sandbox.call(session, 0, "nothing", {})
        assert (result.outcome, result.text) == ("unknown_tool", "unknown tool nothing")

    run(body)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f():\n    raise ValueError('no such ship')\n", "ValueError: no such ship"),
        ("def f():\n    raise SystemExit(3)\n", "SystemExit: 3"),
        ("def f():\n    return f()\n", "RecursionError"),
        ("def f(:\n", "SyntaxError"),
        ("g = 1\n", "defines no function f"),
        ("1 / 0\ndef f(): return 1\n", "ZeroDivisionError"),
        ("class E(Exception):\n    def __str__(self): raise KeyboardInterrupt\ndef f():\n    raise E()\n", "E: (no message)"),
        ("def f():\n    return float('nan')\n", "nan"),
        ("def f():\n    return {1, 2}\n", "set"),
        ("def f():\n    return {(1, 2): 3}\n", "keys must be str, int, float, bool or None, not tuple"),
        ("def f():\n    a = []\n    a.append(a)\n    return a\n", "Circular reference"),
        ("def f():\n    return object()\n", "object"),
        ("def f():\n    return 10 ** 5000\n", "ValueError"),
        ("def f():\n    return '\\ud800'\n", "UnicodeEncodeError"),
        ("import os\ndef f():\n    os._exit(0)\n", "ended its process"),
        ("import ctypes\ndef f():\n    ctypes.string_at(0)\n", "signal 11"),
    ],
)
def test_what_a_tool_does_wrong_is_a_tool_error(run, code, message):
    async def body(sandbox):
        result = await once(sandbox, code)
        assert result.outcome == "tool_error"
        assert message in result.text

    run(body)


def test_printing_is_swallowed(run):
    async def body(sandbox):
        code = "import sys\ndef f():\n    for _ in range(9999): print('x' * 99); print('y', file=sys.stderr)\n    return 1\n"
        assert (await once(sandbox, code)).value == 1

    run(body)


def test_limits_are_outcomes_and_the_next_call_works(run):
    big = tool("big", "def big():\n    return 'x' * 500\n")
    hog = tool("hog", "def hog():\n    return len(bytearray(400 << 20))\n")

    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([COUNT, SPIN, big, hog]), 0)
        names = ["count", "spin", "count", "big", "count", "hog", "count"]
        results = [await sandbox.call(session, seq, name, {}) for seq, name in enumerate(names)]
        assert [result.outcome for result in results] == ["ok", "limit_time", "ok", "limit_output", "ok", "limit_memory", "ok"]
        assert [result.value for result in results][::2] == [1, 2, 3, 4]  # state came back by replay, and limits left no trace

    run(body)


def test_wider_limits_let_the_same_tools_pass(run):
    """The positive control: it was the limit that stopped them."""

    async def body(sandbox):
        assert (await once(sandbox, "def f():\n    return 'x' * 500\n")).outcome == "ok"
        assert (await once(sandbox, "def f():\n    return len(bytearray(150 << 20))\n")).outcome == "ok"
        assert (await once(sandbox, "def f():\n    return sum(range(10 ** 7))\n")).outcome == "ok"

    run(body, SandboxLimits(seconds=5, memory_mib=512, output_chars=1000))


def test_the_same_tools_stop_at_narrow_limits(run):
    async def body(sandbox):
        assert (await once(sandbox, "def f():\n    return len(bytearray(150 << 20))\n")).outcome == "limit_memory"
        assert (await once(sandbox, "def f():\n    return sum(range(10 ** 10))\n")).outcome == "limit_time"

    run(body)


def test_a_blocked_tool_meets_the_wall_limit(run):
    async def body(sandbox):
        code = "import select\ndef f():\n    select.select([], [], [])\n"
        result = await once(sandbox, code)
        assert result.outcome == "limit_time"
        assert "blocked" in result.text

    run(body, SandboxLimits(seconds=0.05))


def test_sleep_costs_no_time_and_moves_the_clock(run):
    code = (
        "import time, datetime\ndef f():\n    a = time.time()\n    time.sleep(3600)\n"
        "    return [round(time.time() - a, 6), str(datetime.datetime.now())]\n"
    )

    async def body(sandbox):
        result = await once(sandbox, code)
        assert result.value == [3600.000001, "2026-01-01 01:00:00.000002"]

    run(body)


def test_sessions_do_not_see_each_other(run):
    async def body(sandbox):
        environment = await sandbox.put([COUNT])
        one, other = await sandbox.open(environment, 0), await sandbox.open(environment, 0)
        assert [(await sandbox.call(one, seq, "count", {})).value for seq in range(3)] == [1, 2, 3]
        assert (await sandbox.call(other, 0, "count", {})).value == 1

    run(body)


def test_a_repeated_call_is_not_run_again(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([COUNT]), 0)
        both = await asyncio.gather(*(sandbox.call(session, 7, "count", {}) for _ in range(2)))
        assert both[0] == both[1]
        assert (await sandbox.call(session, 8, "count", {})).value == 2
        assert (await sandbox.call(session, 7, "count", {})).value == 1

    run(body)


def test_a_number_used_for_another_call_is_refused(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([ECHO]), 0)
        await sandbox.call(session, 0, "echo", {"x": "a"})
        with pytest.raises(SequenceConflict):
            await sandbox.call(session, 0, "echo", {"x": "b"})

    run(body)


def test_equal_histories_and_only_they_have_equal_states(run):
    async def states(sandbox, environment, seed, texts):
        session = await sandbox.open(environment, seed)
        return [(await sandbox.call(session, seq, "echo", {"x": text})).state for seq, text in enumerate(texts)]

    async def body(sandbox):
        environment = await sandbox.put([ECHO])
        one = await states(sandbox, environment, 1, "ab")
        assert one == await states(sandbox, environment, 1, "ab")
        assert len({*one, *await states(sandbox, environment, 1, "ba"), *await states(sandbox, environment, 2, "ab")}) == 6
        assert all(len(bytes.fromhex(state)) == 16 for state in one)

    run(body)


def test_calls_that_leave_no_trace_leave_the_state(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([ECHO, SPIN]), 0)
        first = await sandbox.call(session, 0, "echo", {"x": "a"})
        others = [
            await sandbox.call(session, 1, "spin", {}),
            await sandbox.call(session, 2, "echo", {}),
            await sandbox.call(session, 3, "no", {}),
        ]
        assert [result.outcome for result in others] == ["limit_time", "invalid_args", "unknown_tool"]
        assert {result.state for result in others} == {first.state}
        assert all(result.trusted for result in others)

    run(body)


def test_every_source_of_chance_repeats(run):
    code = (
        "import os, random, secrets, tempfile, time, uuid\ndef f():\n"
        "    return [os.urandom(4).hex(), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(4), random.SystemRandom().random(),\n"
        "        random.Random().random(), next(tempfile._get_candidate_names()), time.monotonic(), time.perf_counter_ns()]\n"
    )

    async def body(sandbox):
        first, again = await once(sandbox, code), await once(sandbox, code)
        assert first.outcome == "ok", first
        assert first.value == again.value
        assert len({str(item) for item in first.value[:7]}) == 7

    run(body)


def test_many_calls_stop_at_the_first_limit(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([COUNT, SPIN]), 0)
        results = await sandbox.call_many(session, 0, [("count", {}), ("count", {"y": 1}), ("spin", {}), ("count", {}), ("count", {})])
        assert [result.outcome for result in results] == ["ok", "invalid_args", "limit_time"]
        assert (await sandbox.call(session, 3, "count", {})).value == 2

    run(body)


def test_randomness_follows_environment_and_seed_alone(run):
    dice = tool("dice", "import random\ndef dice():\n    return random.random()\n")

    async def draws(sandbox, environment, seed):
        session = await sandbox.open(environment, seed)
        return [(await sandbox.call(session, seq, "dice", {})).value for seq in range(2)]

    async def body(sandbox):
        environment, other = await sandbox.put([dice]), await sandbox.put([dice, ECHO])
        first = await draws(sandbox, environment, 1)
        assert first == await draws(sandbox, environment, 1)
        assert len({*first, *await draws(sandbox, environment, 2), *await draws(sandbox, other, 1)}) == 6

    run(body)


def test_the_hash_seed_is_fixed_and_can_be_chosen(way):
    async def hashed(seed: int) -> Any:
        async with way(LIMITS, hash_seed=seed) as sandbox:
            return (await once(sandbox, "def f():\n    return hash('astra')\n")).value

    first, again, other = (asyncio.run(hashed(seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_nothing_of_this_process_is_inherited(run, monkeypatch, tmp_path):
    monkeypatch.setenv("ASTRA_CANARY", "secret")
    canary = tmp_path / "canary"
    with canary.open("w") as file:
        file.write("x")
        file.flush()
        code = (
            "import os\ndef f():\n    names = []\n    for n in range(4, 1024):\n        try:\n"
            "            names.append(os.readlink(f'/proc/self/fd/{n}'))\n"
            "        except OSError:\n            pass\n    return [sorted(os.environ), names]\n"
        )

        async def body(sandbox):
            names, descriptors = (await once(sandbox, code)).value
            assert set(names) <= {"PYTHONHASHSEED", "PYTHONPATH", "TZ", "LC_ALL"}
            assert descriptors == []

        run(body)


def test_files_cannot_be_written(run, tmp_path):
    target = tmp_path / "planted"
    target.write_text("")
    code = f"def f():\n    with open({str(target)!r}, 'w') as file:\n        file.write('x' * 10)\n"

    async def body(sandbox):
        assert (await once(sandbox, code)).outcome == "tool_error"

    run(body)
    assert target.read_text() == ""


def test_equal_environments_have_one_digest_and_bad_schemas_are_refused(run):
    async def body(sandbox):
        assert await sandbox.put([ECHO]) == await sandbox.put([ECHO])
        assert await sandbox.put([ECHO]) != await sandbox.put([COUNT])
        with pytest.raises(BadInput, match="parameters"):
            await sandbox.put([tool("f", "", {"type": "nonsense"})])
        with pytest.raises(BadInput, match='type is "string", not object'):
            await sandbox.put([tool("f", "", {"type": "string"})])

    run(body)


def test_a_closed_session_is_lost_and_closing_twice_is_nothing(run):
    async def body(sandbox):
        session = await sandbox.open(await sandbox.put([ECHO]), 0)
        await sandbox.close(session)
        await sandbox.close(session)
        assert (await sandbox.call(session, 0, "echo", {"x": "a"})).outcome in INFRASTRUCTURE

    run(body)


def test_many_sessions_at_once_give_what_one_gives(run):
    async def one(sandbox: Any, environment: str, seed: int) -> list[Any]:
        session = await sandbox.open(environment, seed)
        values = [(await sandbox.call(session, seq, "count", {})).value for seq in range(3)]
        await asyncio.sleep(0)
        values.append((await sandbox.call(session, 3, "echo", {"x": str(seed)})).value["x"])
        return values

    async def body(sandbox):
        environment = await sandbox.put([COUNT, ECHO])
        results = await asyncio.gather(*(one(sandbox, environment, seed) for seed in range(64)))
        assert results == [[1, 2, 3, str(seed)] for seed in range(64)]

    run(body)
    run(body, live=3)  # idle sessions make room and come back by replay
