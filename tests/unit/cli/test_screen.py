"""What is shown while runs go on: every change at once, something at all times, never a line that breaks the picture."""

import pytest

from astra_cli.screen import PLAIN_SECONDS, BarScreen, LineScreen, detail
from astra_cli.state import moving, state_of
from astra_cli.watch import Line
from astra_operator.clusters.base import RunKey, key_of

KEY = RunKey("SFTRun", "default", "base")


def line(**more: object) -> Line:
    return Line(KEY, **({"state": "Running"} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (line(step=3, total=10, eta=75, doing="loss 0.3"), "3/10, 75s left  loss 0.3"),
        (line(step=3, total=10), "3/10"),
        (line(reason="Running"), "starting"),
        (line(state="Succeeded", reason="UpToDate"), "UpToDate"),
        (line(state="Failed", reason="BadInput", message="a: b"), "BadInput: a: b"),
        (line(state="Running", reason="Restarting", message="stage train: lost"), "Restarting: stage train: lost"),
        (line(state="Pending", reason="Pending", message="soon"), "Pending"),
    ],
)
def test_detail(shown: Line, text: str) -> None:
    assert detail(shown) == text


def test_lines_tell_changes_at_once_and_progress_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("astra_cli.screen.time.monotonic", lambda: clock[0])
    screen = LineScreen()
    running = line(stage="train", step=1, total=4, percent=25)
    screen.show([running])
    screen.show([running])
    clock[0] += PLAIN_SECONDS
    screen.show([running])
    screen.show([line(state="Succeeded", reason="Finished")])
    clock[0] += 100 * PLAIN_SECONDS
    screen.show([line(state="Succeeded", reason="Finished")])
    assert capsys.readouterr().out.splitlines() == [
        "[00:00] SFTRun base              Running   train       25 % 1/4",
        "[00:05] SFTRun base              Running   train       25 % 1/4",
        "[00:05] SFTRun base              Succeeded Finished",
    ]


def test_bars_keep_to_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    screen = BarScreen()
    screen.show([line(state="Waiting", reason="WaitingForInput", message="[bold] " + "x" * 300)])
    screen.close()
    shown = [text for text in capsys.readouterr().out.splitlines() if "SFTRun" in text]
    assert shown
    assert all(len(text.rstrip()) <= 100 for text in shown)


def run(name: str, succeeded: str, reason: str, reconciling: str, **more: object) -> dict[str, object]:
    conditions = [
        {"type": "Succeeded", "status": succeeded, "reason": reason},
        {"type": "Reconciling", "status": reconciling, "reason": reason},
        {"type": "Suspended", "status": "True" if reason == "Suspended" else "False", "reason": reason},
    ]
    metadata = {"name": name, "namespace": "default", "generation": 1}
    return {
        "kind": "ChainSynthesis",
        "metadata": metadata,
        "spec": {"corpus": {"name": "tools"}},
        "status": {"observedGeneration": 1, "conditions": conditions},
    } | more


def corpus(succeeded: str, reason: str, reconciling: str) -> dict[str, object]:
    return run("tools", succeeded, reason, reconciling, kind="ToolCorpus", spec={})


@pytest.mark.parametrize(
    ("chains", "tools", "state", "moves"),
    [
        (run("c", "True", "Finished", "False"), corpus("True", "Finished", "False"), "Succeeded", False),
        (run("c", "Unknown", "Running", "True"), corpus("True", "Finished", "False"), "Running", True),
        (run("c", "Unknown", "WaitingForCapacity", "True"), corpus("True", "Finished", "False"), "Waiting", True),
        (run("c", "Unknown", "WaitingForInput", "True"), corpus("Unknown", "Running", "True"), "Waiting", True),
        (run("c", "Unknown", "WaitingForInput", "True"), corpus("False", "Failed", "False"), "Waiting", False),
        (run("c", "Unknown", "WaitingForInput", "True"), corpus("Unknown", "Suspended", "False"), "Waiting", False),
        (run("c", "False", "BadInput", "False"), corpus("True", "Finished", "False"), "Failed", False),
        (run("c", "Unknown", "Suspended", "False"), corpus("True", "Finished", "False"), "Suspended", False),
        (run("c", "True", "Finished", "False", status={}), corpus("True", "Finished", "False"), "Pending", True),
    ],
)
def test_when_to_stop_watching(chains: dict[str, object], tools: dict[str, object], state: str, moves: bool) -> None:
    by_key = {key_of(chains): chains, key_of(tools): tools}
    assert state_of(chains) == state
    assert moving(chains, by_key) is moves
