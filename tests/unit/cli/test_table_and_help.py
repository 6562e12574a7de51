"""The table is kubectl's, help helps, and starting is quick."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from astra_cli.main import main, parser
from astra_cli.settings import pod_environment
from astra_cli.table import age, table
from astra_operator.crdgen.names import kind_named

NOW = datetime(2030, 1, 1, 1, 0, tzinfo=UTC)


def run(kind: str, name: str, **status: object) -> dict[str, object]:
    return {"kind": kind, "metadata": {"name": name, "creationTimestamp": "2030-01-01T00:00:00Z"}, "status": status}


def succeeded(status: str, reason: str, message: str = "") -> list[dict[str, str]]:
    return [
        {"type": "Ready", "status": "x", "reason": "x", "message": "x"},
        {"type": "Succeeded", "status": status, "reason": reason, "message": message},
    ]


def test_table_is_what_kubectl_prints() -> None:
    runs = [
        run(
            "ToolCorpus",
            "tools",
            conditions=succeeded("True", "Finished", "all done"),
            attempt={"number": 2},
            progress={"percent": 100, "display": "100%"},
            phase="Succeeded",
            artifact={"digest": "sha256:ab"},
        ),
        run(
            "SFTRun",
            "base",
            conditions=succeeded("Unknown", "Running"),
            stage="train",
            attempt={"number": 1},
            progress={"percent": 7, "display": "7%"},
            phase="Running",
        ),
        run("RLRun", "astra"),
    ]
    assert table(runs, now=NOW) == (
        "NAME                         PHASE       REASON     STAGE   PROGRESS   ATTEMPT   AGE\n"
        "toolcorpus.astra.dev/tools   Succeeded   Finished           100%       2         60m\n"
        "sftrun.astra.dev/base        Running     Running    train   7%         1         60m\n"
        "rlrun.astra.dev/astra                                                            60m"
    )
    assert table(runs, wide=True, now=NOW).splitlines()[1].split()[-4:] == ["60m", "sha256:ab", "all", "done"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (660, "11m"),
        (4 * 3600, "4h"),
        (15_000, "4h10m"),
        (40_000, "11h"),
        (200_000, "2d"),
        (-5, "0s"),
    ],
)
def test_age(seconds: int, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("SFTRun", "SFTRun"),
        ("sftruns", "SFTRun"),
        ("sft", "SFTRun"),
        ("toolcorpus.astra.dev", "ToolCorpus"),
        ("RLRUN", "RLRun"),
        ("pod", None),
    ],
)
def test_words_for_kinds(word: str, kind: str | None) -> None:
    assert kind_named(word) == kind


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "get", "describe", "render", "report", "rerun", "retry", "suspend", "resume", "logs"):
        with pytest.raises(SystemExit) as caught:
            parser().parse_args([command, "--help"])
        assert caught.value.code == 0
        assert f"usage: astra {command}" in capsys.readouterr().out


def test_empty_state_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state", str(tmp_path / "none"), "get"]) == 0
    assert "no runs in" in capsys.readouterr().err


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys; import astra_cli.main, astra_cli.run; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "numpy", "kubeflow", "kubernetes", "networkx", "mcp", "jsonschema"} & set(loaded)


def test_pods_inherit_little_and_find_the_programs_beside_astra() -> None:
    given = {"PATH": "/bin", "HOME": "/h", "SECRET": "x", "AWS_REGION": "r", "https_proxy": "p", "RANK": "7", "PYTHONPATH": "x"}
    found = pod_environment(given)
    assert found["PATH"].split(":") == [str(Path(sys.executable).parent), "/bin"]
    assert {"HOME", "AWS_REGION", "https_proxy"} <= set(found)
    assert not {"SECRET", "RANK", "PYTHONPATH"} & set(found)
    assert found["OMP_NUM_THREADS"] == "1"
