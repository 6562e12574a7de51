"""Two variants behind one front: sessions live in the one they asked for, and differ only in what must not matter."""

from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.pool.settings import VARIANTS, PoolSettings, Walls
from astra_jobs.sandbox.pool.users import users
from astra_jobs.sandbox.server.capabilities import walls_of_all
from astra_jobs.sandbox.server.engines import Engines
from astra_jobs.sandbox.server.service import Service
from astra_jobs.sandbox.server.settings import ServerSettings
from tests.unit.sandbox.server.kit import KEY, Scripted, call, real, run, serving

ANY = {"type": "object", "properties": {}, "additionalProperties": True}
TOOLS = [
    {"name": "add", "parameters": ANY, "code": "n = 0\ndef add(x):\n    global n\n    n += x\n    return n\n"},
    {"name": "hashed", "parameters": ANY, "code": "def hashed():\n    return hash('x')\n"},
    {"name": "now", "parameters": ANY, "code": "import time\ndef now():\n    return time.time()\n"},
    {"name": "dice", "parameters": ANY, "code": "import random\ndef dice():\n    return random.random()\n"},
]
DIGEST = digest_of(TOOLS)


def both() -> list[Any]:
    return [real(), real(**VARIANTS[1]._asdict())]


async def opened(client: Any, *wanted: dict[str, Any]) -> list[dict[str, Any]]:
    assert (await client.asked("PUT", f"/v1/envs/{DIGEST}", {"tools": TOOLS})).status == 200
    sessions = [{"environment": DIGEST, "seed": 3, **item} for item in wanted]
    answer = await client.asked("POST", "/v1/sessions", {"sessions": sessions})
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["sessions"]
    return found


async def called(client: Any, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.asked("POST", "/v1/calls", {"calls": list(calls)})
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["results"]
    return found


def test_variants_give_equal_results_but_where_hash_seed_or_clock_show() -> None:
    async def body() -> None:
        async with serving(both()) as server:
            client = await server.client()
            await opened(client, {"session": "a"}, {"session": "b", "variant": 1}, {"session": "c", "variant": 0})
            tools = ["add", "dice", "add", "hashed", "now"]
            calls = [call(name, seq, tool, {"x": 2} if tool == "add" else {}) for seq, tool in enumerate(tools) for name in "abc"]
            results = await called(client, *calls)
            assert {result["outcome"] for result in results} == {"ok"}
            a, b, c = ([result["text"] for result in results[one::3]] for one in range(3))
            assert a[:3] == b[:3]
            assert a[3] != b[3]
            assert abs(float(b[4]) - float(a[4]) - 123_456_789.0) < 60
            assert a[:4] == c[:4]
            states = [[result["state"] for result in results[one::3]] for one in range(2)]
            assert states[0][:3] == states[1][:3]
            assert states[0][3] != states[1][3]

    run(body())


def test_a_variant_that_is_not_offered_is_refused_for_that_session_alone() -> None:
    async def body() -> None:
        for engines, offered in (([real()], 1), (both(), 2)):
            async with serving(engines) as server:
                client = await server.client()
                assert (await client.asked("GET", "/v1/capabilities")).json["variants"] == offered
                found = await opened(client, {"variant": offered}, {"session": "b", "variant": offered - 1}, {"variant": -1})
                assert [item.get("error") for item in found] == ["bad_request", None, "bad_request"]
                assert f"below {offered}" in found[0]["message"]
                answer = await client.asked("POST", "/v1/sessions", {"sessions": [{"environment": DIGEST, "seed": 3, "variant": "1"}]})
                assert answer.status == 400

    run(body())


def test_a_session_is_found_in_its_variant_by_whatever_asks_for_it() -> None:
    async def body() -> None:
        async with serving(both()) as server:
            client, (first, second) = await server.client(), server.engine
            await opened(client, {"session": "a"}, {"session": "b", "variant": 1})
            assert (first.has("a"), first.has("b"), second.has("a"), second.has("b")) == (True, False, False, True)
            taken = await opened(client, {"session": "b"}, {"session": "a", "variant": 1}, {"session": "b", "variant": 1})
            assert [item.get("error") for item in taken] == ["session_conflict", "session_conflict", None]
            (before,) = await called(client, call("b", 0, "hashed"))
            fork = await client.asked("POST", "/v1/sessions/b/fork", {"session": "f"})
            assert fork.json == {"session": "f"}
            assert second.has("f")
            assert (await client.asked("POST", "/v1/sessions/b/fork", {"session": "a"})).status == 409
            assert (await client.asked("POST", "/v1/sessions/x/fork", {})).status == 404
            assert (await called(client, call("f", 1, "hashed")))[0]["text"] == before["text"]
            beat = await client.asked("POST", "/v1/heartbeat", {"sessions": ["x", "a", "y", "f", "b"]})
            assert beat.json == {"unknown": ["x", "y"]}
            assert server.service.engine.counts()["sessions"] == 3
            page = (await client.asked("GET", "/metrics", None, b"")).body.decode()
            assert "astra_sandbox_pool_sessions 3" in page
            assert (await client.asked("DELETE", "/v1/sessions/b")).status == 204
            lost = await called(client, call("b", 1, "hashed"), call("a", 0, "hashed"))
            assert [result["outcome"] for result in lost] == ["session_lost", "ok"]
            assert lost[1]["text"] != before["text"]

    run(body())


def test_an_environment_is_there_when_every_variant_has_it() -> None:
    async def body() -> None:
        async with serving(both()) as server:
            client = await server.client()
            await opened(client)
            await server.engine[1].forget(DIGEST)
            assert (await client.asked("GET", f"/v1/envs/{DIGEST}/tools")).status == 404
            assert "error" not in (await opened(client, {"variant": 1}))[0]
            await server.engine[0].forget(DIGEST)
            answer = await client.asked("POST", "/v1/sessions", {"sessions": [{"environment": DIGEST, "seed": 1}]})
            assert answer.json["sessions"][0]["error"] == "unknown_environment"

    run(body())


def test_walls_are_proven_for_each_variant_and_hold_when_they_do_in_all() -> None:
    async def body() -> None:
        service = Service(ServerSettings(key=KEY, port=0, variants=2, pool=PoolSettings(live=8)))
        await service.start()
        try:
            assert [engine.settings.hash_seed for engine in service.engine.all] == [0, 1]
            assert all(engine.proof for engine in service.engine.all)
            assert walls_of_all(service.engine.all)["network"].holds
            service.engine.all[1].proof.pop("network")
            assert walls_of_all(service.engine.all)["network"] == (False, "not tested")
        finally:
            await service.stop()

    run(body())


def test_every_engine_is_stopped_also_when_one_fails_to() -> None:
    class Stuck(Scripted):
        async def stop(self) -> None:
            raise OSError("it will not")

    async def body() -> None:
        engines: list[Any] = [Stuck(), Scripted()]
        with pytest.raises(OSError, match="it will not"):
            await Engines(engines).stop()
        assert engines[1].stopped

    run(body())


def test_variants_of_one_process_share_no_user_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astra_jobs.sandbox.pool.users.capable", lambda: True)
    for base in (None, 50_000):
        settings = PoolSettings(uid_base=base, walls=Walls())
        found = [users(settings.variant(number)) for number in range(len(VARIANTS))]
        if None not in found:
            ids = [set(one) for one in found if one is not None]
            assert len(ids[0]) == len(ids[1]) > settings.live
            assert not ids[0] & ids[1]
        assert base is None or None not in found
