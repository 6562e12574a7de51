"""Credentials of tool servers on a laptop: refused in a command, taken from files that only their owner reads, found nowhere else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.local.kit import Project

SCRIPTED = Path(__file__).parents[2] / "conformance" / "mcp" / "scripted_server.py"
VALUE = "tok-123456"
SPEC = """apiVersion: astra.dev/v1alpha1
kind: ToolCorpus
metadata: {name: tools}
spec:
  filters: {minToolsPerServer: 1}
  sources:
    - name: real
      mcp:
        command: [./server.sh, script.json]
        env: [{name: VAULT_TOKEN, secret: vault, key: token}]
"""


def found_in(folder: Path, value: str = VALUE) -> list[str]:
    """Every file under a folder that holds a value, hidden ones too."""
    out = subprocess.run(["grep", "-rlF", value, "."], cwd=folder, capture_output=True, text=True, check=False).stdout
    return sorted(out.split())


def project(folder: Path, program: str) -> Project:
    """A project whose server is a shell script beside the manifest: ``program``, then a sound server."""
    made = Project(folder, SPEC)
    tool = {"name": "open", "description": "opens the vault", "inputSchema": {"type": "object"}}
    page = json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"tools": [tool]}})
    (folder / "script.json").write_text(json.dumps({"tools/list": [page]}))
    (folder / "server.sh").write_text(f'#!/bin/sh\n{program}\nexec {sys.executable} {SCRIPTED} "$1"\n')
    (folder / "server.sh").chmod(0o755)
    return made


def keep_secret(folder: Path, mode: int = 0o600) -> Path:
    path = folder / ".astra" / "secrets" / "vault" / "token"
    path.parent.mkdir(parents=True)
    path.write_text(VALUE + "\n")
    path.chmod(mode)
    return path


def test_a_credential_in_a_command_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    text = SPEC.replace("./server.sh, script.json", f"env, API_TOKEN={VALUE}, npx")
    code, output = Project(tmp_path, text).astra()
    assert code == 78, output
    assert output.startswith("pipeline.yaml:9: spec.sources[0].mcp.command[1]: has the form of a credential, which no spec may hold; put")
    assert VALUE not in output
    assert not (tmp_path / ".astra").exists()


def test_a_secret_is_read_from_its_file_and_is_in_no_other(tmp_path: Path) -> None:
    made = project(tmp_path, f'test "$VAULT_TOKEN" = {VALUE[:4]}"{VALUE[4:]}" || exit 9; echo "using $VAULT_TOKEN" >&2')
    keep_secret(tmp_path)
    code, output = made.astra()
    assert code == 0, output
    assert VALUE not in output
    assert found_in(tmp_path) == ["./.astra/secrets/vault/token"]
    code, output = made.astra("describe", "ToolCorpus", "tools")
    assert code == 0, output
    assert "(1 arguments, sha256:" in output
    (servers,) = made.folder.glob(".astra/store/work/**/servers.jsonl")
    server = json.loads(servers.read_text())
    assert server["program"]["name"] == "server.sh"
    assert "script.json" not in servers.read_text()


def test_a_server_that_fails_says_why_without_the_secret(tmp_path: Path) -> None:
    made = project(tmp_path, 'echo "Error: $VAULT_TOKEN is not accepted" >&2; exit 1')
    keep_secret(tmp_path)
    code, output = made.astra()
    assert code == 78, output
    assert 'its stderr says "Error: *** is not accepted"' in output
    assert VALUE not in output
    assert found_in(tmp_path) == ["./.astra/secrets/vault/token"]


def test_a_missing_secret_is_refused_before_anything_starts(tmp_path: Path) -> None:
    code, output = project(tmp_path, "").astra()
    assert code == 78, output
    place = ".astra/secrets/vault/token"
    assert output.startswith(
        f'pipeline.yaml:10: spec.sources[0].mcp.env[0].key: found "token": there is no file {place}; make it with (umask'
    )
    assert not (tmp_path / ".astra" / "runs").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    made = project(tmp_path, "")
    path = keep_secret(tmp_path, mode)
    code, output = made.astra()
    assert code == 78, output
    assert f"has mode {mode:04o}, so others can read it; chmod 600 .astra/secrets/vault/token" in output
    assert VALUE not in output
    path.chmod(0o600)
    code, output = made.astra()
    assert code == 0, output


@pytest.mark.parametrize(
    ("data", "problem"), [(b"", "has 0 bytes"), (b"\n", "has 0 bytes"), (b"a\0b", "no zero byte"), (b"caf\xe9", "is no UTF-8")]
)
def test_a_secret_that_no_variable_can_hold_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    made = project(tmp_path, "")
    keep_secret(tmp_path).write_bytes(data)
    code, output = made.astra()
    assert code == 78, output
    assert problem in output
