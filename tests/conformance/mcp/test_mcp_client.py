"""The MCP client against real servers and against every way that one can fail; no process is ever left behind."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astra_jobs.api.errors import Preempted
from astra_jobs.api.v1alpha1.corpus import McpSource
from astra_jobs.mcp.client import Launch, Listing, Unreadable, list_tools
from astra_jobs.mcp.process import resolve
from astra_jobs.toolcorpus.sources.mcp import collect_mcp
from tests.patience import patience

SERVER = str(Path(__file__).parent / "misbehaving_server.py")


def read(command: list[str], cwd: Path, timeout: float = 30.0) -> Listing:
    return asyncio.run(list_tools(Launch(command, cwd, timeout)))


def misbehave(how: str, cwd: Path, timeout: float = 30.0) -> Listing:
    return read([sys.executable, SERVER, how, str(cwd / "note.json")], cwd, timeout)


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a dead child of another process may stay as a zombie for a moment."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def all_gone(cwd: Path) -> bool:
    deadline = time.monotonic() + patience()
    pids = json.loads((cwd / "note.json").read_text())["pids"]
    while not all(gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


@pytest.mark.parametrize(("program", "tools"), [("mcp-server-git", 12), ("mcp-server-time", 2), ("mcp-server-fetch", 1)])
def test_real_servers_are_found_beside_the_interpreter_and_read(
    program: str, tools: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"].split(os.pathsep)
    monkeypatch.setenv("PATH", os.pathsep.join(part for part in path if ".venv" not in part))
    listing = read([program], tmp_path)
    assert len(listing.tools) == tools
    assert listing.version
    for tool in listing.tools:
        assert tool["description"]
        assert tool["inputSchema"]["type"] == "object"


def test_a_repository_that_is_none_is_told_from_the_servers_own_words(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"exited with code 0 before it answered initialize.*not a valid Git repository"):
        read(["mcp-server-git", "--repository", str(tmp_path)], tmp_path)


def test_all_pages_are_read_in_order(tmp_path: Path) -> None:
    assert [tool["name"] for tool in misbehave("pages", tmp_path).tools] == ["t0", "u0", "t1", "u1", "t2", "u2"]
    assert all_gone(tmp_path)


def test_a_banner_on_stdout_is_forgiven_when_the_server_then_answers(tmp_path: Path) -> None:
    assert len(misbehave("banner", tmp_path).tools) == 3


@pytest.mark.parametrize("how", ["child", "deaf", "daemon", "stubborn"])
def test_the_whole_process_group_ends_though_the_server_would_stay(how: str, tmp_path: Path) -> None:
    assert len(misbehave(how, tmp_path).tools) == 3
    assert all_gone(tmp_path)


def test_a_server_dies_with_a_client_that_is_killed_outright(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from astra_jobs.mcp.client import Launch, list_tools
command = [sys.executable, {SERVER!r}, "silent-list", {str(tmp_path / "note.json")!r}]
asyncio.run(list_tools(Launch(command, Path({str(tmp_path)!r}), 600)))
"""
    client = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + patience()
    while not (tmp_path / "note.json").exists() or not (tmp_path / "note.json").read_text():
        assert time.monotonic() < deadline
        assert client.poll() is None
        os.sched_yield()
    client.kill()
    client.wait()
    assert all_gone(tmp_path)


def test_a_job_that_is_told_to_stop_waits_for_no_server(tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    command = [sys.executable, SERVER, "silent-list", str(note)]
    source = McpSource.model_validate({"command": command, "timeoutSeconds": 600})
    quick = McpSource.model_validate({"command": ["mcp-server-time"]})
    with pytest.raises(Preempted, match="stopped while tool servers were read"):
        collect_mcp([(0, "slow", source), (1, "quick", quick)], tmp_path, lambda: note.exists() and note.read_text() != "")
    assert all_gone(tmp_path)
    assert [server.name for server in collect_mcp([(1, "quick", quick)], tmp_path, lambda: False)] == ["quick"], "control"


FAILURES = [
    ("exits", 120.0, 'exited with code 1 before it answered initialize; its stderr says "no such vault"'),
    ("killed", 120.0, "was killed by SIGKILL before it answered initialize"),
    ("closes", 120.0, "closed its stdout before it answered initialize"),
    ("silent", 0.5, "no answer to initialize in 0.5 s"),
    ("silent-list", 10.0, "no answer to tools/list in 10 s"),
    ("garbage", 120.0, 'prints something that is no MCP instead of an answer to initialize; its stdout says "<html>not a server</html>'),
    ("long-line", 120.0, "prints a line of more than 32 MiB instead of an answer to initialize"),
    ("unread", 120.0, "does not read its stdin before it answered tools/list"),
    ("old", 120.0, 'speaks protocol version "1999-01-01"; known are 2024-11-05'),
    ("circle", 120.0, 'tools/list repeats the page "again"'),
    ("nothing", 120.0, "lists 0 tools"),
    ("refuses", 120.0, "tools/list failed: no key in the vault"),
    ("nonsense", 120.0, 'its answer to tools/list has tools = "many"; wanted an object with a list of tools'),
    ("traceback", 120.0, "its stderr says \"KeyError: 'VAULT'\""),
]


@pytest.mark.parametrize(("how", "timeout", "says"), FAILURES, ids=[row[0] for row in FAILURES])
def test_each_failure_is_one_line_with_its_cause_and_remedy(how: str, timeout: float, says: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(Unreadable) as refused:
        misbehave(how, tmp_path, timeout)
    assert time.monotonic() - start < timeout + patience()
    error = str(refused.value)
    assert says in error
    assert error.endswith("; run the command by hand and correct it, or remove the source")
    assert "note.json" not in error, "an argument of the command"
    assert "\n" not in error
    assert len(error) < 800
    assert all_gone(tmp_path)


@pytest.mark.parametrize("command", [["no-such-program-at-all"], ["/etc/hostname"], [str(Path(__file__))]])
def test_a_program_that_cannot_be_started_is_named(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as refused:
        read(command, tmp_path)
    assert command[0][-10:] in str(refused.value)
    assert "correct the command" in str(refused.value)


def test_a_program_of_a_foreign_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"\x00\x01\x02")
    (tmp_path / "program").chmod(0o755)
    with pytest.raises(Unreadable, match="did not start"):
        read([str(tmp_path / "program")], tmp_path)


def test_servers_see_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    misbehave("plain", tmp_path)
    environment = json.loads((tmp_path / "note.json").read_text())["environment"]
    assert "PATH" in environment
    assert "AWS_SECRET_ACCESS_KEY" not in environment


def test_programs_beside_the_interpreter_come_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mcp-server-git").write_text("#!/bin/sh\n")
    (tmp_path / "mcp-server-git").chmod(0o755)
    (tmp_path / "only-on-path").write_text("#!/bin/sh\n")
    (tmp_path / "only-on-path").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resolve("only-on-path", tmp_path) == str(tmp_path / "only-on-path")
    assert resolve("./mcp-server-git", tmp_path) == str(tmp_path / "mcp-server-git"), "from the folder, not from where this runs"
    found = resolve("mcp-server-git", tmp_path)
    assert found is not None
    assert not found.startswith(str(tmp_path))
    assert resolve("neither", tmp_path) is None
