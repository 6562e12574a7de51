"""Many sources: all are tried, one report names every failure, progress names the source, secrets reach their own server only."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.corpus import CorpusFilters, McpSource, Unreachable
from astra_jobs.toolcorpus.filter import Sieve
from astra_jobs.toolcorpus.raw import RawServer
from astra_jobs.toolcorpus.sources.mcp import Surroundings, collect_mcp, read, verdict

SCRIPTED = str(Path(__file__).parent / "scripted_server.py")
MISBEHAVING = str(Path(__file__).parent / "misbehaving_server.py")
Numbered = tuple[int, str, McpSource]


def source(command: list[str], **more: Any) -> McpSource:
    return McpSource.model_validate({"command": command, "timeoutSeconds": 120, **more})


def good(folder: Path, name: str, text: str = "does it well", stderr: str = "") -> list[str]:
    file = folder / f"{name}.json"
    tool = {"name": name, "description": text, "inputSchema": {"type": "object"}}
    page = json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"tools": [tool]}})
    file.write_text(json.dumps({"tools/list": [page]}), encoding="utf-8")
    return [sys.executable, SCRIPTED, str(file)]


def mixed(folder: Path) -> list[Numbered]:
    bad = [sys.executable, MISBEHAVING, "exits", str(folder / "note.json")]
    return [(0, "one", source(bad)), (2, "two", source(good(folder, "two"))), (5, "three", source(["no-such-program", "--fast"]))]


def test_all_are_tried_and_one_line_names_every_failure(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        collect_mcp(mixed(tmp_path), tmp_path, lambda: False)
    error = refused.value
    assert (error.where, error.reason, error.exit_code) == ("sources[0].mcp.command", "ToolServerUnavailable", 78)
    assert error.message.startswith("2 of 3 tool servers cannot be read: sources[0] program python")
    assert "(source one): exited with code 1 before it answered initialize; its stderr says" in error.message
    assert '| sources[5] program no-such-program (source three): no program "no-such-program" beside the interpreter' in error.message
    assert "--fast" not in error.message
    assert "\n" not in error.message
    assert (tmp_path / "two.json.heard").exists(), "the sound one was tried as well"


def test_programs_are_looked_for_before_any_server_is_started(tmp_path: Path) -> None:
    said: list[tuple[str, bool]] = []
    around = Surroundings(tmp_path, log=lambda line: said.append((line, (tmp_path / "two.json.heard").exists())))
    read(mixed(tmp_path), around)
    assert said[0] == ('three: no program "no-such-program" beside the interpreter or on PATH; install it or correct the command', False)


def test_failures_can_be_dropped_up_to_a_share(tmp_path: Path) -> None:
    sources = mixed(tmp_path)
    servers = collect_mcp(sources, tmp_path, lambda: False, Unreachable(listed="Drop"))
    sieve = Sieve(CorpusFilters(min_tools_per_server=1))
    for server in servers:
        sieve.add(server)
    assert [server.name for server in sieve.kept] == ["two"]
    assert [(item.what, item.name, item.filter, item.reason) for item in sieve.funnel.dropped] == [
        ("server", "one", "reachable", "Unreachable"),
        ("server", "three", "reachable", "Unreachable"),
    ]
    assert "exited with code 1" in sieve.funnel.dropped[0].detail
    with pytest.raises(BadInput) as refused:
        verdict(sources, servers, Unreachable(listed="Drop", max_share=0.5))
    assert refused.value.where == "unreachable.maxShare"
    assert refused.value.message.startswith("found 0.5: 2 of 3 tool servers cannot be read: ")


def test_a_report_of_many_failures_stays_one_short_line() -> None:
    sources = [(number, f"s{number}", source(["x"])) for number in range(100)]
    servers = [RawServer(f"s{number}", "Mcp", "d", [], "mcp:x", "", "", unreachable="y" * 600) for number in range(100)]
    with pytest.raises(BadInput) as refused:
        verdict(sources, servers, Unreachable())
    assert refused.value.message.endswith("| and 80 more, in the log")
    assert len(refused.value.message) < 3500
    assert "source s19)" in refused.value.message


def test_progress_names_the_source_that_is_read(tmp_path: Path) -> None:
    said: list[tuple[int, str]] = []
    sources = [(number, f"s{number}", source(good(tmp_path, f"s{number}"))) for number in range(6)]
    read(sources, Surroundings(tmp_path, say=lambda done, line: said.append((done, line))))
    assert said[0] == (0, "reading 1 of 6: s0")
    assert {line.partition(" (")[0] for _, line in said} >= {"reading 6 of 6: s5"}
    assert (max(done for done, _ in said)) == 5
    assert any("(1 tools so far)" in line for _, line in said)


def test_a_command_starts_in_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "server.sh").write_text(f'#!/bin/sh\npwd > where\nexec {sys.executable} {SCRIPTED} "$1"\n')
    (tmp_path / "server.sh").chmod(0o755)
    good(tmp_path, "near")
    (server,) = collect_mcp([(0, "s", source(["./server.sh", "near.json"]))], tmp_path, lambda: False)
    assert [tool.name for tool in server.tools] == ["near"]
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


VALUE = "tok-123456"
ENV = [{"name": "VAULT_TOKEN", "secret": "vault", "key": "token"}]


def reading(
    folder: Path, command: list[str], secret: Callable[[str, str], str] = lambda name, key: VALUE
) -> tuple[list[RawServer], list[str]]:
    log: list[str] = []
    around = Surroundings(folder, secret=secret, inherited={"LANG": "C"}, log=log.append)
    return read([(0, "s", source(command, env=ENV)), (1, "other", source(printing(folder, "other")))], around), log


def printing(folder: Path, name: str) -> list[str]:
    """A server that writes its environment into a file and then exits, its token on its lips."""
    program = f'env > {name}.env; echo "cannot log in with $VAULT_TOKEN" >&2; exit 3'
    return ["sh", "-c", program]


def test_a_secret_reaches_its_own_server_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    asked = []

    def secret(name: str, key: str) -> str:
        asked.append((name, key))
        return VALUE

    servers, log = reading(tmp_path, printing(tmp_path, "own"), secret)
    own, other = ((tmp_path / f"{name}.env").read_text() for name in ("own", "other"))
    assert f"VAULT_TOKEN={VALUE}\n" in own
    assert VALUE not in other
    assert "hidden" not in own + other
    assert {line.partition("=")[0] for line in other.splitlines()} <= {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "ASTRA_TOOL_SERVER")
    }
    assert asked == [("vault", "token")]
    assert 'its stderr says "cannot log in with ***"' in servers[0].unreachable
    assert VALUE not in str(servers) + str(log)


def test_a_document_that_holds_the_secret_is_dropped(tmp_path: Path) -> None:
    for place, command in {
        "description": good(tmp_path, "a", f"logged in as {VALUE}"),
        "name": good(tmp_path, f"tool-{VALUE}"),
    }.items():
        servers, _ = reading(tmp_path, command)
        (tool,) = servers[0].tools
        assert tool.fault is not None
        assert tool.fault[0] == "HoldsCredential"
        assert place in tool.fault[1]
        assert VALUE not in str(servers)
