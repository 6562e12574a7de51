"""What servers print that no JSON-RPC library takes: read all the same, or said at once with its true cause (SPEC 1)."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.mcp.client import Launch, Listing, Unreadable, list_tools

SERVER = str(Path(__file__).parent / "scripted_server.py")
PATIENCE = 120.0
"""Time-out of the scripted servers, seconds: whoever waits for it fails the test."""
TOOL = '{"name":"t","description":"does it","inputSchema":{"type":"object"}}'
PAGE = f'{{"tools":[{TOOL}]}}'
SOUND = f'{{"jsonrpc":"2.0","id":@ID,"result":{PAGE}}}'


def read(folder: Path, script: dict[str, Any]) -> Listing:
    file = folder / "script.json"
    file.write_text(json.dumps({"tools/list": [SOUND], **script}), encoding="utf-8")
    return asyncio.run(list_tools(Launch([sys.executable, SERVER, str(file)], folder, PATIENCE)))


def heard(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "script.json.heard").read_text(encoding="utf-8").splitlines()]


TAKEN = {
    "banner": ["Welcome to the vault!", "listening on stdio", SOUND],
    "log lines in JSON": ['{"level":"info","msg":"ready"}', "[1, 2]", "12", '"text"', "null", SOUND],
    "byte-order mark": ["\xef\xbb\xbf" + SOUND],
    "Windows line ends": [SOUND + "\r"],
    "batch": [f'[{{"jsonrpc":"2.0","method":"notifications/message","params":{{}}}},{SOUND}]'],
    "number as text": [SOUND.replace("@ID", '"@ID"')],
    "number as a float": [SOUND.replace("@ID", "@ID.0")],
    "no jsonrpc member": [SOUND.replace('"jsonrpc":"2.0",', "")],
    "error null beside a result": [SOUND.replace('"result"', '"error":null,"result"')],
    "notifications in between": ['{"jsonrpc":"2.0","method":"notifications/progress","params":{"x":NaN}}', SOUND],
    "a repeated answer to an earlier request": ['{"jsonrpc":"2.0","id":1,"result":{}}', SOUND],
    "a raw tab inside a text": [SOUND.replace("does it", "does\tit")],
    "twenty kilobytes of ASCII art": ["#" * 70] * 300 + [SOUND],
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_can_be_understood_is_read(case: str, tmp_path: Path) -> None:
    listing = read(tmp_path, {"tools/list": TAKEN[case]})
    assert [tool["name"] for tool in listing.tools] == ["t"]
    assert (listing.name, listing.version) == ("scripted", "3")


ODD_HELLOS = {
    "no version and no name": {"capabilities": {}},
    "null everywhere": {"protocolVersion": None, "capabilities": None, "serverInfo": None},
    "wrong types": {"protocolVersion": "2024-11-05", "capabilities": [], "serverInfo": {"name": 5, "version": ["1"]}},
}


@pytest.mark.parametrize("case", ODD_HELLOS)
def test_an_odd_greeting_does_not_hide_the_tools(case: str, tmp_path: Path) -> None:
    hello = json.dumps(ODD_HELLOS[case])
    listing = read(tmp_path, {"initialize": [f'{{"jsonrpc":"2.0","id":@ID,"result":{hello}}}']})
    assert (len(listing.tools), listing.name, listing.version) == (1, "", "")


def error(body: str) -> list[str]:
    return [f'{{"jsonrpc":"2.0","id":@ID,"error":{body}}}']


SAID = {
    "an error without a message": (error('{"code":-32603,"message":null}'), "tools/list failed: error -32603 without a message"),
    "data instead of a message": (error('{"code":1,"data":{"why":"no key"}}'), 'without a message, data {"why": "no key"}'),
    "a code as text": (error('{"code":"E_AUTH","message":"log in first"}'), "tools/list failed: log in first"),
    "an error that is text": (error('"not today"'), 'tools/list failed: "not today"'),
    "half a pair in a message": (error('{"code":1,"message":"bad \\ud83d key"}'), "tools/list failed: bad \\ud83d key"),
    "an error without a number": (['{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'], "failed: Parse error"),
    "another number": ([SOUND.replace("@ID", "99")], "its answer to tools/list has the id 99 instead of 2"),
    "no result": (['{"jsonrpc":"2.0","id":@ID}'.replace("}", ',"error":null}')], "has neither result nor error"),
    "cut off": ([SOUND[:-9]], "its answer to tools/list is no JSON"),
    "single quotes": ([SOUND.replace('"', "'")], "its answer to tools/list is no JSON"),
    "spread over lines": (["{", '  "jsonrpc": "2.0",', '  "id": @ID, "result": {}', "}"], "its answer to tools/list is no JSON"),
    "UTF-16": (["\0".join(SOUND) + "\0"], "its answer to tools/list is no UTF-8"),
    "a result that is a list": ([SOUND.replace(PAGE, "[]")], "its answer to tools/list is []; wanted an object with a list of tools"),
    "no tools member": ([SOUND.replace(PAGE, '{"items":[]}')], 'its answer to tools/list is {"items": []}; wanted'),
    "tools that are a map": ([SOUND.replace(f"[{TOOL}]", '{"t":{}}')], 'has tools = {"t": {}}; wanted an object with a list of tools'),
    "tools that are null": ([SOUND.replace(f"[{TOOL}]", "null")], "has tools = null; wanted"),
    "an endless cursor": ([SOUND.replace('{"tools"', '{"nextCursor":"x","tools"')], 'tools/list repeats the page "x"'),
}


@pytest.mark.parametrize("case", SAID)
def test_what_cannot_is_said_at_once_with_its_cause(case: str, tmp_path: Path) -> None:
    lines, cause = SAID[case]
    start = time.monotonic()
    with pytest.raises(Unreadable) as refused:
        read(tmp_path, {"tools/list": lines})
    assert cause in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - start < PATIENCE, "it was waited for, as if nothing had been said"
    str(refused.value).encode()


def test_a_circle_of_two_cursors_ends(tmp_path: Path) -> None:
    page = SOUND.replace('{"tools"', '{"nextCursor":"%s","tools"')
    with pytest.raises(Unreadable, match="tools/list repeats the page"):
        read(tmp_path, {"tools/list": [[page % "a"], [page % "b"], [page % "a"], [page % "b"]]})


def test_cursors_of_other_types_are_given_back_as_they_came(tmp_path: Path) -> None:
    page = SOUND.replace('{"tools"', '{"nextCursor":%s,"tools"')
    assert len(read(tmp_path, {"tools/list": [[page % "7"], [page % '{"p":2}'], [page % "null"]]}).tools) == 3
    assert [m["params"] for m in heard(tmp_path) if m["method"] == "tools/list"] == [{}, {"cursor": 7}, {"cursor": {"p": 2}}]


def test_requests_of_a_server_are_answered(tmp_path: Path) -> None:
    asked = ['{"jsonrpc":"2.0","id":"p","method":"ping"}', '{"jsonrpc":"2.0","id":8,"method":"roots/list"}']
    asked += ['{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[]}}']
    page = SOUND.replace('{"tools"', '{"nextCursor":"x","tools"')
    read(tmp_path, {"tools/list": [[*asked, page], [SOUND]]})
    answers = {str(message["id"]): message for message in heard(tmp_path) if "method" not in message}
    assert answers["p"]["result"] == {}
    assert {answers[number]["error"]["code"] for number in ("8", "9")} == {-32601}


def test_a_list_that_changes_is_read_again(tmp_path: Path) -> None:
    changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
    other = SOUND.replace('"t"', '"later"')
    assert [tool["name"] for tool in read(tmp_path, {"tools/list": [[changed, SOUND], [other]]}).tools] == ["later"]


def test_a_list_that_never_stops_changing_is_taken_at_its_last_word(tmp_path: Path) -> None:
    changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
    assert len(read(tmp_path, {"tools/list": [changed, SOUND]}).tools) == 1
    assert sum(message["method"] == "tools/list" for message in heard(tmp_path)) == 5


def test_ten_thousand_tools_come_in_one_page(tmp_path: Path) -> None:
    many = ",".join(TOOL.replace('"t"', f'"t{number}"') for number in range(10_000))
    assert len(read(tmp_path, {"tools/list": [SOUND.replace(TOOL, many)]}).tools) == 10_000
