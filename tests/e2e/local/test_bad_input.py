"""Bad input as a user meets it: one line with file, field, value and mend, exit code 78, and nothing half made."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.local.kit import Project

SERVER = Path(__file__).parents[2] / "conformance" / "mcp" / "misbehaving_server.py"
TOOLS = """apiVersion: astra.dev/v1alpha1
kind: ToolCorpus
metadata: {name: tools}
spec:
  sources:
    - name: worlds
      procedural: {servers: 8}
"""
CHAINS = """---
apiVersion: astra.dev/v1alpha1
kind: ChainSynthesis
metadata: {name: chains}
spec:
  author: {procedural: {}}
  corpus:
    name: tools
"""


def team(url: Path) -> str:
    return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: astra-team}}\ndata:\n  storeUrl: {url}\n"


def with_server(*command: str, seconds: float = 30) -> str:
    return TOOLS + f"    - name: real\n      mcp:\n        timeoutSeconds: {seconds}\n        command: [{', '.join(command)}]\n"


def misbehaving(how: str, seconds: float = 30) -> str:
    return with_server(sys.executable, str(SERVER), how, "note.json", seconds=seconds)


def refusal(project: Project) -> str:
    """Run; return the one line about bad input."""
    code, output = project.astra()
    assert code == 78, output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("pipeline.yaml:")]
    return line


def artifacts(project: Project, store: Path | None = None) -> list[str]:
    """Return the committed artifacts; fail when anything is there that none of them needs."""
    root = store or project.folder / ".astra" / "store"
    left = [path for path in root.rglob("*") if path.name.startswith(".put-")]
    assert left == [], "half-written files"
    return sorted(path.parent.name for path in root.glob("artifacts/*/manifest.json"))


FOUND_IN_THE_FILE = {
    "unknown field": (TOOLS + "  sed: 1\n", "pipeline.yaml:8: spec.sed: found 1: unknown field; remove it or write seed"),
    "wrong type": (TOOLS.replace("8", "eight"), 'pipeline.yaml:7: spec.sources[0].procedural.servers: found "eight": Input should be a'),
    "dangling reference": (
        TOOLS + CHAINS.replace("name: tools", "name: tolls"),
        'pipeline.yaml:15: spec.corpus.name: found "tolls": there is no ToolCorpus of that name; write tools',
    ),
    "reference backwards": (TOOLS + "  corpus: {name: chains}\n" + CHAINS, "pipeline.yaml:8: spec.corpus: found {"),
    "cut-off file": (TOOLS[:-2], "pipeline.yaml:7: expected ',' or '}'"),
    "store that cannot be made": (TOOLS + team(Path("/proc/store")), 'pipeline.yaml:13: data.storeUrl: found "/proc/store": cannot be'),
}


@pytest.mark.parametrize("case", FOUND_IN_THE_FILE)
def test_what_the_files_show_starts_nothing(case: str, tmp_path: Path) -> None:
    text, wanted = FOUND_IN_THE_FILE[case]
    project = Project(tmp_path, text)
    assert refusal(project).startswith(wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.yaml"]


FOUND_BY_THE_JOB = {
    "no such program": (with_server("no-such-server"), 'no program "no-such-server" beside the interpreter or on PATH; install it or'),
    "server that exits": (misbehaving("exits"), 'exited with code 1 before it answered initialize; its stderr says "no such vault"'),
    "server that hangs": (misbehaving("silent", seconds=1), "no answer to initialize in 1 s; run the command by hand and correct it, or"),
    "server that prints garbage": (misbehaving("garbage"), "prints something that is no MCP instead of an answer to initialize"),
    "server without tools": (misbehaving("nothing"), "lists 0 tools; run the command by hand and correct it, or remove the source"),
}


@pytest.mark.parametrize("case", FOUND_BY_THE_JOB)
def test_what_a_job_finds_reads_the_same(case: str, tmp_path: Path) -> None:
    text, wanted = FOUND_BY_THE_JOB[case]
    project = Project(tmp_path, text)
    line = refusal(project)
    assert line.startswith("pipeline.yaml:11: spec.sources[1].mcp.command: found program ")
    assert "note.json" not in line, "an argument of the command"
    assert wanted in line
    assert line.endswith("(ToolCorpus tools: ToolServerUnavailable)")
    assert artifacts(project) == []
    assert project.pods() == []


def flip_a_byte(project: Project) -> str:
    path = next(project.folder.glob(".astra/store/work/**/servers.jsonl"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    return "servers.jsonl: is damaged (SHA-256 "


def cut_off_the_manifest(project: Project) -> str:
    path = next(project.folder.glob(".astra/store/artifacts/*/manifest.json"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-40])
    return "manifest.json: is damaged (digest "


@pytest.mark.parametrize("damage", [flip_a_byte, cut_off_the_manifest])
def test_a_damaged_input_is_named_and_made_again_on_request(damage: Callable[[Project], str], tmp_path: Path) -> None:
    project = Project(tmp_path, TOOLS)
    assert project.astra()[0] == 0
    before = artifacts(project)
    words = damage(project)
    project.write(TOOLS + CHAINS)
    line = refusal(project)
    assert line.startswith("pipeline.yaml:15: spec.corpus.name: input corpus from ToolCorpus/tools, file://")
    assert words in line
    assert "run what made it again (a new value of its rerun field)" in line
    assert line.endswith("(ChainSynthesis chains: InputUnavailable)")
    assert artifacts(project) == before
    assert project.astra("rerun", "ToolCorpus", "tools")[0] == 0
    code, output = project.astra()
    assert code == 0, output


def test_runs_that_wait_for_a_failed_one_are_named_in_one_line_and_the_mend_is_enough(tmp_path: Path) -> None:
    server = tmp_path / "server"
    text = with_server(str(server), "banner", "note.json") + CHAINS + CHAINS.replace("name: chains", "name: more")
    project = Project(tmp_path, text)
    code, output = project.astra()
    assert code == 78, output
    assert output.count("pipeline.yaml:11: spec.sources[1].mcp.command: found ") == 1
    assert "\nwaiting: ChainSynthesis chains, ChainSynthesis more for ToolCorpus tools\n" in output
    digest = project.runs()["tools"]["status"]["attempt"]["digest"]

    server.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SERVER}" "$@"\n')
    server.chmod(0o755)
    project.write(with_server(str(server), "banner", "note.json"))
    code, output = project.astra()
    assert code == 0, output
    assert "ToolCorpus tools ended with ToolServerUnavailable before; it is tried again from its last checkpoint" in output
    attempt = project.runs()["tools"]["status"]["attempt"]
    assert (attempt["number"], attempt["digest"]) == (1, digest)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; tests/conformance/store/test_store_limits.py makes the same errors by limits")
    place = tmp_path / "volume"
    place.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["/bin/umount", str(place)], check=True)


def test_a_full_store_is_named_and_more_space_is_enough(volume: Path, tmp_path: Path) -> None:
    project = Project(tmp_path, TOOLS.replace("8", "400") + team(volume / "store"))
    line = refusal(project)
    assert line.startswith(f"pipeline.yaml:13: data.storeUrl: file://{volume}/store is full (writing ")
    assert "free space there or name another store" in line
    assert artifacts(project, volume / "store") == []
    assert not list(volume.glob("store/work/**/*.jsonl")), "the space was given back"
    subprocess.run(["/bin/mount", "-o", "remount,size=64m", str(volume)], check=True)
    assert project.astra()[0] == 0
    assert len(artifacts(project, volume / "store")) == 1


def test_a_store_that_may_not_be_written_starts_nothing(volume: Path, tmp_path: Path) -> None:
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(volume)], check=True)
    project = Project(tmp_path, TOOLS + team(volume))
    assert refusal(project).startswith(
        f'pipeline.yaml:13: data.storeUrl: found "{volume}": cannot be written (Read-only file system); name'
    )
    assert not (tmp_path / ".astra").exists()
