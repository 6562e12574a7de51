"""The routes over the real engine: what SPEC 4 promises of sessions, calls and environments, in both forms."""

import json
from typing import Any

import msgspec
import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.pool import bases
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.unit.sandbox.server.kit import Answer, Raw, call, real, run, serving
from tests.unit.sandbox.waiting import until

ANY = {"type": "object", "properties": {}, "additionalProperties": True}
TOOLS = [
    {
        "name": "add",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "code": "total = 0\ndef add(x):\n    global total\n    total += x\n    return {'total': total, 'text': 'ä\\u2028\"'}\n",
    },
    {"name": "echo", "parameters": ANY, "code": "def echo(**given):\n    return given\n"},
    {"name": "burn", "parameters": ANY, "code": "def burn():\n    while True:\n        pass\n"},
    {"name": "raise", "parameters": ANY, "code": "def f():\n    pass\nglobals()['raise'] = lambda: 1 / 0\n"},
]
DIGEST = digest_of(TOOLS)
KINDS = ["application/json", "application/msgpack"]


class Caller:
    """Speaks one form."""

    def __init__(self, client: Raw, kind: str = KINDS[0]) -> None:
        self.client = client
        self.kind = kind

    def ask(self, method: str, path: str, body: Any = None) -> None:
        encode = msgspec.json.encode if self.kind == KINDS[0] else msgspec.msgpack.encode
        self.client.ask(method, path, None if body is None else encode(body), kind=self.kind)

    async def answered(self) -> tuple[Answer, Any]:
        answer = await self.client.answer()
        if not answer.body:
            return answer, None
        decode = msgspec.json.decode if answer.headers["content-type"] == KINDS[0] else msgspec.msgpack.decode
        return answer, decode(answer.body)

    async def asked(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        self.ask(method, path, body)
        answer, told = await self.answered()
        return answer.status, told

    async def calls(self, *calls: dict[str, Any]) -> list[dict[str, Any]]:
        status, told = await self.asked("POST", "/v1/calls", {"calls": list(calls)})
        assert status == 200, told
        return told["results"]

    async def open(self, *names: str) -> None:
        assert await self.asked("PUT", f"/v1/envs/{DIGEST}", {"tools": TOOLS}) == (200, {"environment": DIGEST})
        wanted = [{"session": name, "environment": DIGEST, "seed": 7} for name in names]
        assert await self.asked("POST", "/v1/sessions", {"sessions": wanted}) == (200, {"sessions": [{"session": n} for n in names]})


async def life(caller: Caller, name: str) -> list[Any]:
    """Use everything once; return all that must not depend on the form."""
    seen: list[Any] = [await caller.asked("GET", f"/v1/envs/{DIGEST}/tools")]
    await caller.open(name)
    seen.append(await caller.asked("GET", f"/v1/envs/{DIGEST.replace(':', '%3A')}/tools"))
    results = await caller.calls(
        *(call(name, seq, "add", {"x": seq}) for seq in range(5)),
        call(name, 5, "add", {"x": "1"}),
        call(name, 6, "nothing"),
        call(name, 7, "raise"),
        call(name, 8, "echo", {"a": [1, 2.5, None, True, {"ü": "\x00\u2028"}], "b": -(2**63), "c": 2**64 - 1}),
        call("no-such-session", 0, "add", {"x": 1}),
    )
    assert all(result.pop("cpu_seconds") >= 0 for result in results)
    seen.append(results)
    seen.append(await caller.asked("POST", f"/v1/sessions/{name}/fork", {"upto": 2}))
    branch = seen[-1][1].pop("session")
    seen.append([result["text"] for result in await caller.calls(call(branch, 3, "add", {"x": 10}))])
    seen.append(await caller.asked("POST", "/v1/heartbeat", {"sessions": [name, branch, "gone"]}))
    seen[-1][1]["unknown"].remove("gone")
    seen.append(await caller.asked("DELETE", f"/v1/sessions/{name}"))
    seen.append(await caller.asked("DELETE", f"/v1/sessions/{name}"))
    seen.append(await caller.asked("POST", "/v1/heartbeat", {"sessions": [branch]}))
    seen.append(await caller.asked("POST", f"/v1/sessions/{name}/fork", {}))
    return seen


def test_a_session_lives_the_same_life_in_json_and_in_messagepack() -> None:
    async def body() -> None:
        seen = []
        for kind in KINDS:
            async with serving(real()) as server:
                seen.append(await life(Caller(await server.client(), kind), "s"))
        assert seen[0] == seen[1]
        missing, tools, results, fork, branched, beat, deleted, again, alive, gone = seen[0]
        assert missing[0] == 404
        assert [tool["name"] for tool in tools[1]["tools"]] == ["add", "echo", "burn", "raise"]
        assert "code" not in tools[1]["tools"][0]
        assert [result["outcome"] for result in results] == ["ok"] * 5 + [
            "invalid_args",
            "unknown_tool",
            "tool_error",
            "ok",
            "session_lost",
        ]
        assert [json.loads(result["text"])["total"] for result in results[:5]] == [0, 1, 3, 6, 10]
        assert json.loads(results[0]["text"])["text"] == 'ä\u2028"'
        assert json.loads(results[8]["text"])["c"] == 2**64 - 1
        assert len({result["state"] for result in results[:5]}) == 5
        assert fork[0] == 200
        assert json.loads(branched[0])["total"] == 13
        assert beat == (200, {"unknown": []})
        assert deleted == again == (204, None)
        assert alive == (200, {"unknown": []})
        assert gone[0] == 404

    run(body())


def test_the_answer_has_the_form_that_is_accepted() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            client = await server.client()
            for accept, kind in ((KINDS[1], KINDS[1]), ("text/html, application/x-msgpack;q=0.5", KINDS[1]), ("*/*", KINDS[0])):
                client.send(b"GET /v1/capabilities HTTP/1.1\r\naccept: " + accept.encode() + b"\r\nauthorization: Bearer ")
                client.send(server.service.settings.key + b"\r\n\r\n")
                assert (await client.answer()).headers["content-type"] == kind

    run(body())


def test_a_call_number_is_one_call_whoever_repeats_it_and_however() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            one, other = Caller(await server.client()), Caller(await server.client(), KINDS[1])
            await one.open("s", "t")
            twice = await one.calls(call("s", 0, "add", {"x": 5}), call("s", 0, "add", {"x": 5}), call("s", 1, "add", {"x": 1}))
            assert twice[0] == twice[1]
            assert json.loads(twice[2]["text"])["total"] == 6
            assert await other.calls(call("s", 0, "add", {"x": 5})) == twice[:1]
            status, told = await other.asked("POST", "/v1/calls", {"calls": [call("s", 0, "add", {"x": 6})]})
            assert (status, told["error"]) == (409, "sequence_conflict")
            mixed = await one.calls(
                call("s", 0, "add", {"x": 6}), call("s", 2, "add", {"x": 1}), call("s", 2, "echo"), call("t", 0, "add", {"x": 1})
            )
            assert [result.get("error", result.get("outcome")) for result in mixed] == [
                "sequence_conflict",
                "ok",
                "sequence_conflict",
                "ok",
            ]
            assert json.loads(mixed[1]["text"])["total"] == 7

    run(body())


def test_a_huge_batch_is_answered_in_order_and_one_that_is_too_large_is_not_begun() -> None:
    async def body() -> None:
        async with serving(real(session_queue=4096)) as server:
            caller = Caller(await server.client())
            names = [f"s{number}" for number in range(16)]
            await caller.open(*names)
            calls = [call(names[number % 16], number // 16, "add", {"x": 1}) for number in range(4096)]
            totals = [json.loads(result["text"])["total"] for result in await caller.calls(*calls)]
            assert totals == [number // 16 + 1 for number in range(4096)]
            status, told = await caller.asked("POST", "/v1/calls", {"calls": [*calls, calls[0]]})
            assert (status, told["error"]) == (400, "bad_request")
            assert await caller.calls() == []

    run(body())


def test_environments_are_what_their_digest_says_or_are_refused() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            caller = Caller(await server.client())
            status, told = await caller.asked("PUT", f"/v1/envs/{DIGEST}", {"tools": TOOLS[:2]})
            assert (status, told["error"]) == (400, "digest_mismatch")
            assert (await caller.asked("GET", f"/v1/envs/{DIGEST}/tools"))[0] == 404
            for tools in ([TOOLS[0], TOOLS[0]], [{**TOOLS[0], "parameters": {"type": 7}}], [{**TOOLS[0], "parameters": {"type": "array"}}]):
                status, told = await caller.asked("PUT", f"/v1/envs/{digest_of(tools)}", {"tools": tools})
                assert (status, told["error"]) == (400, "bad_environment"), told
            tools = [{**TOOLS[0], "parameters": {"$schema": "file:///etc/passwd"}}]
            status, told = await caller.asked("PUT", f"/v1/envs/{digest_of(tools)}", {"tools": tools})
            assert (status, len(told["losses"])) == (200, 1), told
            assert told["losses"][0].startswith(f"{TOOLS[0]['name']}: $schema file:///etc/passwd left out"), told
            deep: Any = {"type": "object"}
            for _ in range(190):
                deep = {"type": "object", "properties": {"a": deep}}
            tools = [{**TOOLS[0], "parameters": deep}]
            status, told = await caller.asked("PUT", f"/v1/envs/{digest_of(tools)}", {"tools": tools})
            assert status in (200, 400), told
            for _ in range(2):
                assert (await caller.asked("PUT", f"/v1/envs/{DIGEST}", {"tools": TOOLS}))[0] == 200

    run(body())


def test_sessions_are_refused_one_by_one_and_a_request_only_when_none_was_taken() -> None:
    async def body() -> None:
        async with serving(real(sessions=3)) as server:
            caller = Caller(await server.client())
            await caller.open("a")
            good = {"environment": DIGEST, "seed": 7}
            log = [["add", {"x": "no number"}, "ok", "{}"]]
            wanted = [
                {**good, "session": "a"},
                {**good, "session": "a", "seed": 8},
                {**good, "environment": "sha256:0"},
                {**good, "log": log},
            ]
            _, told = await caller.asked("POST", "/v1/sessions", {"sessions": [*wanted, good, good, good]})
            found = [item.get("error", "taken") for item in told["sessions"]]
            assert found == ["taken", "session_conflict", "unknown_environment", "bad_request", "taken", "taken", "overloaded"]
            assert told["sessions"][-1]["retry_after_ms"] > 0
            caller.ask("POST", "/v1/sessions", {"sessions": [good]})
            answer, told = await caller.answered()
            assert (answer.status, told["error"]) == (429, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
            assert (await caller.asked("POST", "/v1/sessions/a/fork"))[0] == 429

    run(body())


def test_a_log_brings_a_session_to_its_state_and_a_wrong_one_is_found_out() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            caller = Caller(await server.client())
            await caller.open("a")
            first = (await caller.calls(call("a", 0, "add", {"x": 3})))[0]
            entry = ["add", {"x": 3}, "ok", first["text"]]
            good = {"environment": DIGEST, "seed": 7}
            wanted = [{**good, "session": "b", "log": [entry]}, {**good, "session": "c", "log": [[*entry[:3], '{"total":99}']]}]
            assert (await caller.asked("POST", "/v1/sessions", {"sessions": wanted}))[0] == 200
            a, b, c = await caller.calls(*(call(name, 1, "add", {"x": 1}) for name in "abc"))
            assert (a["text"], a["state"]) == (b["text"], b["state"])
            assert c["outcome"] == "session_lost"

    run(body())


def test_a_running_session_that_is_deleted_answers_at_once_and_its_neighbour_goes_on() -> None:
    async def body() -> None:
        async with serving(real(SandboxLimits(seconds=20.0))) as server:
            runs, ends = Caller(await server.client()), Caller(await server.client())
            await runs.open("a", "b")
            runs.ask("POST", "/v1/calls", {"calls": [call("a", 0, "burn"), call("a", 1, "add", {"x": 1})]})
            await until(lambda: server.engine.counts()["busy"])
            assert (await ends.asked("DELETE", "/v1/sessions/a"))[0] == 204
            _, told = await runs.answered()
            assert [result["outcome"] for result in told["results"]] == ["session_lost"] * 2
            assert (await ends.calls(call("b", 0, "add", {"x": 1})))[0]["outcome"] == "ok"

    run(body())


def test_limits_are_outcomes_and_the_session_lives_on() -> None:
    async def body() -> None:
        async with serving(real(SandboxLimits(seconds=0.2, output_chars=64))) as server:
            caller = Caller(await server.client())
            await caller.open("a")
            results = await caller.calls(
                call("a", 0, "add", {"x": 1}), call("a", 1, "burn"), call("a", 2, "echo", {"a": "x" * 100}), call("a", 3, "add", {"x": 1})
            )
            assert [result["outcome"] for result in results] == ["ok", "limit_time", "limit_output", "ok"]
            assert json.loads(results[3]["text"])["total"] == 2

    run(body())


def test_what_does_not_get_its_turn_in_time_is_overloaded_and_never_runs() -> None:
    async def body() -> None:
        async with serving(real(SandboxLimits(seconds=1.0), session_queue=3)) as server:
            caller = Caller(await server.client())
            await caller.open("a", "b")
            caller.ask("POST", "/v1/calls", {"calls": [call("b", 0, "add", {"x": 1}, deadline_ms=0)]})
            answer, told = await caller.answered()
            assert (answer.status, told["error"], answer.headers["retry-after"]) == (429, "overloaded", "1")
            calls = [call("a", 0, "burn"), call("a", 1, "add", {"x": 1}, deadline_ms=50), call("a", 2, "add", {"x": 2})]
            results = await caller.calls(*calls, call("a", 3, "add", {"x": 4}))
            assert [result["outcome"] for result in results] == ["limit_time", "overloaded", "overloaded", "overloaded"], (
                "what comes after keeps its order"
            )
            assert all(result["retry_after_ms"] > 0 for result in results if result["outcome"] == "overloaded")
            assert json.loads((await caller.calls(call("a", 2, "add", {"x": 2})))[0]["text"])["total"] == 2
            assert json.loads((await caller.calls(call("b", 0, "add", {"x": 1})))[0]["text"])["total"] == 1

    run(body())


def test_a_draining_server_takes_no_sessions_and_serves_those_it_has() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            caller = Caller(await server.client())
            await caller.open("a")
            server.service.terminate()
            ready = await (await server.client()).asked("GET", "/readyz")
            assert (ready.status, ready.json["error"]) == (503, "draining")
            status, told = await caller.asked("POST", "/v1/sessions", {"sessions": [{"environment": DIGEST, "seed": 1}]})
            assert (status, told["error"]) == (429, "overloaded")
            assert (await caller.asked("POST", "/v1/sessions/a/fork", {}))[0] == 429
            assert (await caller.calls(call("a", 0, "add", {"x": 1})))[0]["outcome"] == "ok"
            assert (await caller.asked("GET", "/v1/capabilities"))[1]["draining"] is True

    run(body())


def test_a_server_without_its_base_process_is_not_ready_and_then_not_alive_until_one_holds_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with serving(real()) as server:
            caller, probe = Caller(await server.client()), await server.client()
            engine = server.service.engine.first
            await caller.open("a")

            async def probes() -> list[int]:
                return [(await probe.asked("GET", path)).status for path in ("/healthz", "/readyz")]

            assert await probes() == [200, 200]
            monkeypatch.setattr(bases, "PAUSE", 3600.0)
            monkeypatch.setattr(bases, "AT_ONCE", 0)
            monkeypatch.setattr(bases, "LONGEST_PAUSE", 3600.0)
            engine.calls.rooms.base.process.kill()
            await until(lambda: not engine.ready)
            assert await probes() == [200, 503]
            monkeypatch.setattr(bases, "PATIENCE", 0.0)
            assert await probes() == [503, 503]
            status, told = await caller.asked("POST", "/v1/sessions", {"sessions": [{"environment": DIGEST, "seed": 1}]})
            assert (status, told["error"]) == (429, "overloaded")
            assert "start this server anew" in told["message"]
            result = (await caller.calls(call("a", 0, "add", {"x": 1})))[0]
            assert result["outcome"] == "infra_error"
            monkeypatch.setattr(bases, "WINDOW", 0.0)
            engine.calls.rooms.bases.start()
            await until(lambda: engine.ready)
            assert await probes() == [200, 200]
            assert (await caller.calls(call("a", 0, "add", {"x": 1})))[0]["outcome"] == "ok"

    run(body())
