"""One failure at a time: what is tried again, where, for how long, and what a caller is told at last."""

import asyncio
import time
from collections import Counter

import pytest

from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.sandbox.remote import line, serving
from tests.patience import patience
from tests.unit.sandbox.client.fake import fakes
from tests.unit.sandbox.client.kit import TOOLS, client, told, undisturbed

LIFE = [("add", {"x": 3}), ("fail", {"x": 4}), ("limit", {"x": 5}), ("crash", {"x": 6}), ("unknown", {"x": 7}), ("add", {"x": 8})]


def once(kind, word, times=1):
    """Return a fault that strikes the first requests of a kind."""
    left = [times]

    def fault(seen):
        if seen == kind and left[0]:
            left[0] -= 1
            return word
        return None

    return fault


async def lived(sandbox, seed=0, life=LIFE):
    session = await sandbox.open(await sandbox.put(TOOLS), seed)
    return [await sandbox.call(session, seq, *call) for seq, call in enumerate(life)]


@pytest.mark.parametrize("kind", ["capabilities", "envs", "sessions", "calls"])
@pytest.mark.parametrize("word", ["before", "after", "503", "429", "500", "slow", "half", "garbage", "restart", "hang"])
def test_each_failure_of_each_request_changes_no_result(kind, word):
    async def body():
        async with fakes(1, fault=once(kind, word)) as [server], client([server]) as sandbox:
            results = await lived(sandbox)
            assert told(results) == undisturbed(LIFE, 0)
            assert all(result.trusted for result in results)
            assert set(server.applications.values()) == {1}
            assert server.seen[kind] >= 1

    asyncio.run(body())


def test_a_lost_answer_is_asked_for_again_and_not_applied_again():
    async def body():
        async with fakes(1, fault=once("calls", "after")) as [server], client([server]) as sandbox:
            assert told(await lived(sandbox)) == undisturbed(LIFE, 0)
            assert server.seen["calls"] == len(LIFE) + 1
            assert "replays" not in sandbox.counts()
            assert sandbox.counts()["retries_no_answer"] == 1

    asyncio.run(body())


def test_a_server_that_forgot_everything_gets_the_session_back_by_its_log():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 5)
            results = []
            for seq, call in enumerate(LIFE):
                results.append(await sandbox.call(session, seq, *call))
                server.restart()
            assert told(results) == undisturbed(LIFE, 5)
            assert server.seen["envs"] == len(LIFE)
            assert sandbox.counts()["replayed_calls"] == 1 + 2 + 2 + 2 + 2  # what was applied before each call but the first

    asyncio.run(body())


@pytest.mark.parametrize("way", ["stopped", "hung"])
def test_sessions_of_a_server_that_went_away_go_on_at_another(way):
    async def body():
        async with fakes(3) as servers, client(servers, silence=0.1) as sandbox:
            environment = await sandbox.put(TOOLS)
            sessions = [await sandbox.open(environment, seed) for seed in range(30)]
            halves = [[await sandbox.call(session, seq, *LIFE[seq]) for seq in range(3)] for session in sessions]
            lost = max(servers, key=lambda server: len(server.copies))
            assert lost.copies
            if way == "stopped":
                await lost.stop()
            else:
                lost.hung = True
            await asyncio.gather(*(go_on(sandbox, session, half) for session, half in zip(sessions, halves, strict=True)))
            for seed, half in enumerate(halves):
                assert told(half) == undisturbed(LIFE, seed)
            assert sandbox.counts()["endpoints_lost"] == 1
            lost.hung = False

    async def go_on(sandbox, session, half):
        for seq in range(3, len(LIFE)):
            half.append(await sandbox.call(session, seq, *LIFE[seq]))

    asyncio.run(body())


def test_a_server_that_comes_back_at_its_place_is_used_again():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            environment = await sandbox.put(TOOLS)
            session = await sandbox.open(environment, 0)
            await sandbox.call(session, 0, *LIFE[0])
            await server.stop()
            calling = asyncio.ensure_future(sandbox.call(session, 1, *LIFE[1]))
            async with asyncio.timeout(patience()):
                while not sandbox.counts().get("endpoints_lost"):
                    await asyncio.sleep(0.01)
            server.restart()
            await server.start(server.port)
            assert told([await calling]) == undisturbed(LIFE[:2], 0)[1:]

    asyncio.run(body())


def test_when_no_server_answers_the_call_is_infrastructure_and_never_a_result():
    async def body():
        async with fakes(1) as [server], client([server], patience=0.5) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            await server.stop()
            began = time.monotonic()
            result = await sandbox.call(session, 0, "add", {"x": 1})
            assert (result.outcome, result.trusted) == ("infra_error", False)
            assert "127.0.0.1" in result.text
            assert time.monotonic() - began < patience(), "it gave up"
            opened = await sandbox.open(await sandbox.put(TOOLS), 1)
            assert (await sandbox.call(opened, 0, "add", {"x": 1})).outcome == "infra_error"

    asyncio.run(body())


def test_a_start_without_any_server_is_one_line():
    async def body():
        async with fakes(1) as [server]:
            await server.stop()
            with pytest.raises(Transient, match=r"sandbox.url: no sandbox server answers at http://127.0.0.1:\d+; see its pods"):
                async with client([server], patience=0.3):
                    pass

    asyncio.run(body())


@pytest.mark.parametrize("word", ["503", "429"])
def test_a_server_that_stays_busy_is_waited_for_until_patience_ends(word):
    async def body():
        async with fakes(1) as [server], client([server], patience=0.4) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            server.fault = lambda kind: word if kind == "calls" else None
            result = await sandbox.call(session, 0, "add", {"x": 1})
            assert (result.outcome, result.trusted) == ("overloaded", False)
            assert server.seen["calls"] > 3
            server.fault = lambda kind: None
            assert told([await sandbox.call(session, 0, "add", {"x": 1})]) == undisturbed([("add", {"x": 1})], 0)

    asyncio.run(body())


def test_single_overloaded_calls_are_waited_for_and_the_order_stays():
    """The server refuses the second of three calls and applies the third: the copy is let go and made again."""

    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            refusals = Counter()

            def turn(copy, call):
                refusals[call["seq"]] += 1
                return "overloaded" if call["seq"] == 1 and refusals[1] == 1 else None

            server.on_call(turn)
            life = [("add", {"x": x}) for x in range(3)]
            results = await asyncio.gather(*(sandbox.call(session, seq, *call) for seq, call in enumerate(life)))
            assert told(results) == undisturbed(life, 0)
            assert sandbox.counts()["replays"] == 1
            assert refusals[2] == 2  # the positive control: it was applied in the wrong place first

    asyncio.run(body())


def test_a_copy_with_another_history_is_found_out_by_its_state():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            await sandbox.call(session, 0, *LIFE[0])
            for copy in server.copies.values():
                copy.run("add", {"x": 99})  # a call that the client knows nothing of
            assert told([await sandbox.call(session, 1, *LIFE[1])]) == undisturbed(LIFE[:2], 0)[1:]
            assert sandbox.counts()["retries_session_lost"] == 1

    asyncio.run(body())


def test_a_tool_that_does_not_repeat_itself_is_session_lost_and_ends_soon():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            assert (await sandbox.call(session, 0, "odd", {"x": 1})).outcome == "ok"
            server.restart()
            result = await sandbox.call(session, 1, "add", {"x": 1})
            assert (result.outcome, result.trusted) == ("session_lost", False)
            assert sandbox.counts()["replays"] == serving.LOSSES - 1

    asyncio.run(body())


def test_what_is_behind_a_lost_call_is_not_run_in_its_place():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            server.on_call(lambda copy, call: "infra_error" if call["seq"] == 0 else None)
            results = await asyncio.gather(*(sandbox.call(session, seq, "add", {"x": seq}) for seq in range(3)))
            assert [result.outcome for result in results] == ["infra_error"] * 3
            server.on_call(lambda copy, call: None)
            life = [("add", {"x": x}) for x in range(3)]
            again = [await sandbox.call(session, seq, *call) for seq, call in enumerate(life)]
            assert told(again) == undisturbed(life, 0)

    asyncio.run(body())


def test_a_list_ends_with_its_limit_and_nothing_behind_it_is_kept():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            life = [("add", {"x": 1}), ("limit", {"x": 2}), ("add", {"x": 3})]
            first = await sandbox.call_many(session, 0, life)
            assert told(first) == undisturbed(life, 0)[:2]
            assert told(await sandbox.call_many(session, 0, life)) == told(first)
            other = [("fail", {"x": 9}), ("add", {"x": 1})]
            assert told(await sandbox.call_many(session, 2, other)) == undisturbed([*life[:2], *other], 0)[2:]

    asyncio.run(body())


def test_what_one_list_left_out_is_run_for_who_asks_for_it_too():
    async def body():
        async with fakes(1) as [server], client([server], batch_calls=2) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            life = [("add", {"x": 1}), ("limit", {"x": 2}), ("add", {"x": 3}), ("add", {"x": 4})]
            listed, single, rest = await asyncio.gather(
                sandbox.call_many(session, 0, life), sandbox.call(session, 2, *life[2]), sandbox.call_many(session, 3, life[3:])
            )
            assert told([*listed, single, *rest]) == undisturbed(life, 0)
            again = await sandbox.call_many(session, 4, life)
            assert told(again) == undisturbed([*life, *life], 0)[4:6]
            assert told([await sandbox.call(session, 6, *life[2])]) == undisturbed([*life, *life], 0)[6:7]

    asyncio.run(body())


def test_a_full_server_leaves_the_session_to_another():
    async def body():
        async with fakes(2) as servers, client(servers) as sandbox:
            servers[0].most_sessions = 0
            environment = await sandbox.put(TOOLS)
            for seed in range(8):
                session = await sandbox.open(environment, seed)
                assert told([await sandbox.call(session, 0, *LIFE[0])]) == undisturbed(LIFE[:1], seed)
            assert len(servers[1].copies) == 8

    asyncio.run(body())


def test_when_all_servers_are_full_the_call_is_overloaded_and_can_be_made_later():
    async def body():
        async with fakes(2) as servers, client(servers, patience=0.3) as sandbox:
            for server in servers:
                server.most_sessions = 0
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            assert (await sandbox.call(session, 0, *LIFE[0])).outcome == "overloaded"
            servers[1].most_sessions = 1
            assert told([await sandbox.call(session, 0, *LIFE[0])]) == undisturbed(LIFE[:1], 0)

    asyncio.run(body())


def test_a_draining_server_keeps_its_sessions_and_gets_no_new_ones():
    async def body():
        async with fakes(2) as servers, client(servers) as sandbox:
            environment = await sandbox.put(TOOLS)
            sessions = [await sandbox.open(environment, seed) for seed in range(6)]
            draining = next(server for server in servers if server.copies)
            before = len(draining.copies)
            draining.draining = True
            sessions += [await sandbox.open(environment, seed) for seed in range(6, 12)]
            results = await asyncio.gather(*(sandbox.call(session, 0, *LIFE[0]) for session in sessions))
            assert told(results) == [undisturbed(LIFE[:1], seed)[0] for seed in range(12)]
            assert len(draining.copies) == before
            assert "replays" not in sandbox.counts()

    asyncio.run(body())


def test_one_poisonous_call_harms_no_other():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            server.poison = 13
            environment = await sandbox.put(TOOLS)
            sessions = [await sandbox.open(environment, seed) for seed in range(8)]
            xs = [13 if seed == 5 else seed for seed in range(8)]
            results = await asyncio.gather(*(sandbox.call(session, 0, "add", {"x": x}) for session, x in zip(sessions, xs, strict=True)))
            assert [result.outcome for result in results] == ["ok"] * 5 + ["infra_error"] + ["ok"] * 2
            assert "poison" in results[5].text

    asyncio.run(body())


def test_arguments_too_long_for_a_server_are_the_callers():
    async def body():
        async with fakes(1, fault=lambda kind: None) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            server.fault = lambda kind: "413" if kind == "calls" else None
            result = await sandbox.call(session, 0, "add", {"x": 1})
            assert (result.outcome, result.text) == ("invalid_args", "the arguments are longer than a sandbox reads")

    asyncio.run(body())


def test_an_environment_that_a_server_refuses_is_one_error():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            server.fault = lambda kind: "400" if kind == "envs" else None
            with pytest.raises(BadInput, match="answered 400 it_is_so: so; use a client and a server of the same version"):
                await sandbox.open(await sandbox.put(TOOLS), 0)
            assert server.seen["envs"] == 1

    asyncio.run(body())


def test_a_server_that_looks_well_and_answers_nothing_is_left_at_last(monkeypatch):
    monkeypatch.setattr(line, "WEDGED", 4)

    async def body():
        async with fakes(2) as servers, client(servers) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            wedged = next(server for server in servers if server.copies)
            wedged.fault = lambda kind: "500"
            assert told([await sandbox.call(session, 0, *LIFE[0])]) == undisturbed(LIFE[:1], 0)
            assert wedged.seen["calls"] == 4

    asyncio.run(body())
