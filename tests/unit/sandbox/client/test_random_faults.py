"""Hundreds of lives of sessions on servers that fail at random: every one ends with the results of an undisturbed run."""

import asyncio
import random
from collections import Counter

import pytest

from tests.patience import patience
from tests.unit.sandbox.client.fake import fakes
from tests.unit.sandbox.client.kit import TOOLS, client, last_copies, told, undisturbed

FAULTS = ["before", "after", "503", "429", "500", "slow", "half", "garbage", "fewer", "restart", "hang"]
WEIGHTS = [6, 6, 4, 4, 4, 4, 4, 3, 3, 1, 0.3]
LIVES = 30
TROUBLES = ["overloaded", "overloaded", "infra_error", "session_lost"]


def a_life(draw):
    return [
        (draw.choices(["add", "fail", "limit", "crash", "unknown"], [8, 2, 1, 1, 1])[0], {"x": draw.randrange(100)})
        for _ in range(draw.randint(1, 8))
    ]


async def live(sandbox, environment, seed, life, draw):
    """Make the calls of a life: alone, side by side, or as lists that go on after a limit."""
    session = await sandbox.open(environment, seed)
    results = []
    while len(results) < len(life):
        rest, first = life[len(results) :], len(results)
        way = draw.random()
        if way < 0.4:
            results.append(await sandbox.call(session, first, *rest[0]))
        elif way < 0.7:
            results += await asyncio.gather(*(sandbox.call(session, first + number, *call) for number, call in enumerate(rest[:3])))
        else:
            results += await sandbox.call_many(session, first, rest)
    return session, results


async def many_lives(seed, rate, calls_too, **settings):
    draw = random.Random(seed)
    faults: Counter[str] = Counter()

    def fault(kind):
        word = draw.choices(FAULTS, WEIGHTS)[0]
        if kind == "end" or draw.random() >= rate or (word == "fewer" and kind not in ("calls", "sessions")):
            return None
        faults[word] += 1
        return word

    def turn(copy, call):
        return draw.choice(TROUBLES) if calls_too and draw.random() < 0.05 else None

    async with fakes(3, fault=fault) as servers:
        for server in servers:
            server.on_call(turn)
        async with client(servers, batch_calls=5, **settings) as sandbox:
            environment = await sandbox.put(TOOLS)
            lives = [a_life(draw) for _ in range(LIVES)]
            ended = await asyncio.gather(*(live(sandbox, environment, number, life, draw) for number, life in enumerate(lives)))
            copies = last_copies(servers)
            counts = sandbox.counts()
    for number, (life, (session, results)) in enumerate(zip(lives, ended, strict=True)):
        assert told(results) == undisturbed(life, number), (seed, number)
        applied = [(tool, f'{{"x":{arguments["x"]}}}') for tool, arguments in life if tool in ("add", "fail")]
        if session in copies:  # the server that had it may have forgotten it by now
            assert copies[session] == applied, (seed, number)
    assert all(times == 1 for server in servers for times in server.applications.values())
    return faults, counts


@pytest.mark.parametrize("seed", range(10))
def test_lost_answers_and_restarts_change_no_result(seed):
    faults, counts = asyncio.run(many_lives(seed, 0.2, calls_too=False))
    assert faults
    assert any(name.startswith("retries") for name in counts)


@pytest.mark.parametrize("seed", range(10, 20))
def test_calls_that_are_refused_one_by_one_keep_their_order(seed):
    _, counts = asyncio.run(many_lives(seed, 0.2, calls_too=True))
    assert sum(counts.get(f"retries_{trouble}", 0) for trouble in TROUBLES) > 0


def test_the_positive_control_without_faults_nothing_is_tried_again():
    faults, counts = asyncio.run(many_lives(1, 0, calls_too=False, silence=patience(), request=patience()))
    assert not faults
    assert not any(name.startswith("retries") or name == "moves" for name in counts)
