"""What the client does where nothing fails: batches, places, numbers, leases, and nothing left behind."""

import asyncio
import math

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool.records import Bundle, payload_of
from astra_jobs.sandbox.pool.records import Pending as PoolCall
from astra_jobs.sandbox.pool.records import Session as PoolSession
from astra_jobs.sandbox.protocol import SequenceConflict, ToolCode
from astra_jobs.sandbox.remote import sandbox as remote
from astra_jobs.sandbox.remote import state
from astra_jobs.sandbox.remote.rendezvous import share
from astra_jobs.sandbox.remote.wire import JSON, PACKED, Arguments, content_of
from tests.patience import patience
from tests.unit.sandbox.client.fake import fakes
from tests.unit.sandbox.client.kit import TOOLS, client, told, undisturbed

ONE = ("add", {"x": 1})


def test_what_is_asked_at_one_moment_goes_in_few_requests():
    async def body():
        async with fakes(1) as [server], client([server], batch_calls=32) as sandbox:
            environment = await sandbox.put(TOOLS)
            sessions = await asyncio.gather(*(sandbox.open(environment, seed) for seed in range(100)))
            assert server.seen["sessions"] == 4
            results = await asyncio.gather(*(sandbox.call(session, 0, *ONE) for session in sessions))
            assert told(results) == [undisturbed([ONE], seed)[0] for seed in range(100)]
            assert sorted(server.batches) == [4, 32, 32, 32]
            assert sandbox.counts()["calls_ok"] == 100
            assert sandbox.counts()["requests"] == 1 + 1 + 4 + 4

    asyncio.run(body())


def test_a_batch_is_bounded_in_bytes_but_one_long_call_goes():
    async def body():
        async with fakes(1) as [server], client([server], batch_bytes=1000) as sandbox:
            environment = await sandbox.put(TOOLS)
            sessions = [await sandbox.open(environment, seed) for seed in range(6)]
            lengths = [400, 400, 400, 5000, 10, 10]
            await asyncio.gather(*(sandbox.call(session, 0, "add", {"x": "y" * n}) for session, n in zip(sessions, lengths, strict=True)))
            assert sorted(server.batches) == [1, 1, 2, 2]
            many = await sandbox.call_many(sessions[0], 1, [("add", {"x": "y" * 400})] * 5)
            assert [result.outcome for result in many] == ["ok"] * 5
            assert sorted(server.batches[4:]) == [1, 2, 2]

    asyncio.run(body())


def test_a_session_stays_where_it_is_and_no_server_has_more_than_its_share():
    async def body():
        async with fakes(3) as servers, client(servers) as sandbox:
            environments = [await sandbox.put([*TOOLS, ToolCode(name=f"t{n}", parameters={"type": "object"}, code="")]) for n in range(4)]
            sessions = [await sandbox.open(environments[seed % 4], seed) for seed in range(60)]
            assert sum(len(server.copies) for server in servers) == 60
            assert max(len(server.copies) for server in servers) <= share(60, 3)
            before = [set(server.copies) for server in servers]
            for seq in range(3):
                await asyncio.gather(*(sandbox.call(session, seq, *ONE) for session in sessions))
            assert [set(server.copies) for server in servers] == before

    asyncio.run(body())


def test_deadlines_are_what_remains_of_patience():
    async def body():
        async with fakes(1) as [server], client([server], patience=2.0) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            left = [3]

            def fault(kind):
                left[0] -= kind == "calls"
                return "503" if kind == "calls" and left[0] >= 0 else None

            server.fault = fault
            await sandbox.call(session, 0, *ONE)
            assert 0 < server.deadlines[0] <= 1995
            assert all(0 < deadline <= 2000 for deadline in server.deadlines)

    asyncio.run(body())


@pytest.mark.parametrize("json", [False, True])
def test_both_encodings_give_the_same_and_great_numbers_go_as_json(json):
    async def body():
        async with fakes(1) as [server], client([server], json=json) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            life = [("add", {"x": [1.5, -0.0, 1e300, "ü\u2028", None, True, {"y": -5}]}), ("add", {"x": 10**30}), ("add", {"x": 2**63})]
            first = [await sandbox.call(session, seq, *call) for seq, call in enumerate(life)]
            server.restart()
            first += await asyncio.gather(*(sandbox.call(session, seq, *ONE) for seq in range(3, 6)))
            assert told(first) == undisturbed([*life, ONE, ONE, ONE], 0)
            assert first[1].value["given"] == {"x": 10**30}
            assert server.contents - {""} == ({JSON} if json else {JSON, PACKED})

    asyncio.run(body())


def test_the_content_type_is_that_which_can_hold_all():
    small, great = Arguments({"x": 1}), Arguments({"x": 10**30})
    assert content_of(PACKED, [small]) == PACKED
    assert content_of(PACKED, [small, great]) == JSON
    assert content_of(JSON, [small]) == JSON


@pytest.mark.parametrize("arguments", [{"x": math.nan}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": b""}, {"x": math.inf}])
def test_arguments_that_are_no_json_reach_no_server(arguments):
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            result = await sandbox.call(session, 0, "add", arguments)
            assert (result.outcome, result.text) == ("invalid_args", "the arguments are not JSON")
            assert server.seen["calls"] == 0

    asyncio.run(body())


def test_what_a_model_may_send_is_never_an_error_of_infrastructure():
    deep = {"x": 1}
    for _ in range(150):
        deep = {"x": [deep]}

    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            assert (await sandbox.call(session, 0, "add", deep)).outcome == "invalid_args"
            assert (await sandbox.call(session, 1, "t" * 300, {})).outcome == "unknown_tool"
            assert server.seen["calls"] == 0

    asyncio.run(body())


def test_a_number_is_one_call_for_ever():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            both = await asyncio.gather(*(sandbox.call(session, 7, *ONE) for _ in range(2)))
            assert both[0] == both[1]
            server.restart()
            assert await sandbox.call(session, 7, *ONE) == both[0]
            assert server.applications.total() == 1
            with pytest.raises(SequenceConflict, match="call 7 was made before"):
                await sandbox.call(session, 7, "add", {"x": 2})
            with pytest.raises(SequenceConflict):
                await sandbox.call_many(session, 6, [ONE, ("add", {"x": 2})])
            assert server.applications.total() == 1

    asyncio.run(body())


def test_a_caller_that_leaves_takes_nothing_with_it():
    async def body():
        async with fakes(1, fault=lambda kind: "slow") as [server], client([server]) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            call = asyncio.ensure_future(sandbox.call(session, 0, *ONE))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert call.cancelled()
            life = [ONE, ("add", {"x": 2})]
            assert told([await sandbox.call(session, 1, *life[1]), await sandbox.call(session, 0, *life[0])]) == undisturbed(life, 0)[::-1]
            assert server.applications.total() == 2

    asyncio.run(body())


def test_idle_sessions_are_kept_alive_and_unknown_ones_come_back():
    async def body():
        async with fakes(1) as [server], client([server], lease=0.15) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            first = await sandbox.call(session, 0, *ONE)
            async with asyncio.timeout(patience()):
                while server.seen["heartbeat"] < 2:
                    await asyncio.sleep(0.01)
                assert "sessions_unknown" not in sandbox.counts()
                server.restart()
                while not sandbox.counts().get("sessions_unknown"):
                    await asyncio.sleep(0.01)
            life = [ONE, ("add", {"x": 2})]
            assert told([first, await sandbox.call(session, 1, *life[1])]) == undisturbed(life, 0)
            assert "retries_session_lost" not in sandbox.counts()

    asyncio.run(body())


def test_a_closed_session_is_ended_at_its_server_and_lost_to_callers():
    async def body():
        async with fakes(1) as [server]:
            async with client([server]) as sandbox:
                environment = await sandbox.put(TOOLS)
                sessions = await asyncio.gather(*(sandbox.open(environment, seed) for seed in range(20)))
                for session in sessions[:15]:
                    await sandbox.close(session)
                    await sandbox.close(session)
                assert (await sandbox.call(sessions[0], 0, *ONE)).outcome == "session_lost"
                waiting = asyncio.ensure_future(sandbox.call(sessions[15], 0, *ONE))
                await asyncio.sleep(0)
                await sandbox.close(sessions[15])
                assert (await waiting).outcome == "session_lost"
            assert server.copies == {}

    asyncio.run(body())


def test_nothing_is_left_running():
    async def body():
        async with fakes(2) as servers:
            before = asyncio.all_tasks()
            async with client(servers) as sandbox:
                session = await sandbox.open(await sandbox.put(TOOLS), 0)
                servers[0].fault = servers[1].fault = lambda kind: "hang"
                waiting = asyncio.ensure_future(sandbox.call(session, 0, *ONE))
                await asyncio.sleep(0.01)
            assert (await waiting).outcome == "session_lost"
            ours = [task for task in asyncio.all_tasks() - before if "remote" in str(task.get_coro())]
            assert ours == []

    asyncio.run(body())


def test_environments_are_checked_and_unknown_ones_are_a_mistake():
    async def body():
        async with fakes(1) as [server], client([server]) as sandbox:
            assert await sandbox.put(TOOLS) == await sandbox.put(TOOLS)
            with pytest.raises(BadInput, match="twice"):
                await sandbox.put([TOOLS[0], TOOLS[0]])
            with pytest.raises(BadInput, match="parameters"):
                await sandbox.put([ToolCode(name="f", parameters={"type": "nonsense"}, code="")])
            with pytest.raises(KeyError):
                await sandbox.open("sha256:0", 0)
            assert server.seen["envs"] == 0

    asyncio.run(body())


def test_environments_without_sessions_are_forgotten_and_may_be_put_again(monkeypatch):
    async def body():
        monkeypatch.setattr(remote, "BUNDLES", 3)
        async with fakes(1) as [server], client([server]) as sandbox:
            some = [[tool.model_copy(update={"code": f"{tool.code}# {number}\n"}) for tool in TOOLS] for number in range(6)]
            used = await sandbox.put(some[0])
            session = await sandbox.open(used, 0)
            for tools in some[1:5]:
                other = await sandbox.open(await sandbox.put(tools), 0)
                assert (await sandbox.call(other, 0, *ONE)).outcome == "ok"
                await sandbox.close(other)
            forgotten = digest_of([tool.to_dict() for tool in some[1]])
            with pytest.raises(KeyError):
                await sandbox.open(forgotten, 0)
            server.restart()
            assert (await sandbox.call(session, 0, *ONE)).outcome == "ok", "one with a session is kept"
            assert await sandbox.put(some[1]) == forgotten
            again = await sandbox.open(forgotten, 0)
            assert (await sandbox.call(again, 0, *ONE)).outcome == "ok"
            assert server.seen["envs"] == 5 + 2

    asyncio.run(body())


def test_the_state_is_counted_as_the_pool_counts_it():
    session = PoolSession("s", Bundle("sha256:d", [], {}), 7, None)
    ours = state.first("sha256:d", 7)
    assert ours == session.state
    for tool, arguments in [("add", {"b": [1, 2.5, "ü"], "a": 10**30}), ('q"\n', {}), ("add", {"x": {"z": None}})]:
        body = payload_of(tool, arguments)
        session.append(PoolCall(0, body, 0.0, None), "ok", '{"text":"ä"}')
        ours = state.after(ours, tool, Arguments(arguments).json, "ok", '{"text":"ä"}')
        assert ours == session.state
