"""Each alert fires when it should and is silent when it should be: by promtool, on made-up series."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # kubernetes brings it

from tests.monitoring.prometheus import promtool

Series = dict[str, str]

FILE = Path(__file__).parents[2] / "charts" / "astra-operator" / "files" / "alerts.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
OPERATOR = 'job="operator",instance="one"'


@dataclass(frozen=True)
class Case:
    """Series, in promtool's notation with one sample a minute, with which an alert fires after ``minutes``, and others with which not."""

    fires: Series
    silent: Series
    minutes: int = 30
    labels: dict[str, str] = field(default_factory=dict)
    value: str = ""


def runs(condition: str, status: str = "True") -> str:
    return f'astra_runs{{{OPERATOR},kind="RLRun",condition="{condition}",status="{status}"}}'


def calls(code: int) -> str:
    return f'astra_api_calls_total{{{OPERATOR},verb="list",resource="pods",code="{code}"}}'


def looks(outcome: str) -> str:
    return f'astra_reconciles_total{{{OPERATOR},kind="RLRun",outcome="{outcome}"}}'


def bucket(histogram: str, le: str) -> str:
    return f'{histogram}_bucket{{le="{le}"}}'


DEPTH = f"astra_queue_depth{{{OPERATOR}}}"
MISSED, STARTS = f"astra_missed_events_total{{{OPERATOR}}}", f"astra_stream_starts_total{{{OPERATOR}}}"
RESTARTS = f'astra_restarts_total{{{OPERATOR},kind="SFTRun",cause="%s"}}'
TOOL_CALLS = 'astra_sandbox_calls_total{instance="pool",outcome="%s"}'
SECONDS, TOOL_SECONDS = "astra_reconcile_seconds", "astra_sandbox_call_seconds"
WAITING = 'astra_sandbox_pool_sessions_waiting{job="pool",instance="one"}'
WHO = {"job": "operator", "instance": "one"}

CASES: dict[str, Case] = {
    "AstraOperatorAbsent": Case({"up": "1x60"}, {DEPTH: "0x60"}),
    "AstraOperatorStuck": Case({DEPTH: "5x60", looks("changed"): "100x60"}, {DEPTH: "5x60", looks("changed"): "100+1x60"}, labels=WHO),
    "AstraReconcilesFail": Case(
        {looks("failed"): "0+3x60", looks("unchanged"): "0+3x60"},
        {looks("failed"): "0+1x60", looks("unchanged"): "0+20x60", looks("fenced"): "0+20x60"},
        labels={"kind": "RLRun"},
    ),
    "AstraReconcilesSlow": Case(
        {bucket(SECONDS, "10"): "0x60", bucket(SECONDS, "30"): "0+9x60", bucket(SECONDS, "+Inf"): "0+9x60"},
        {bucket(SECONDS, "5"): "0+9x60", bucket(SECONDS, "30"): "0+9x60", bucket(SECONDS, "+Inf"): "0+9x60"},
    ),
    "AstraForbidden": Case({calls(403): "0+1x60"}, {calls(404): "0+1x60"}, labels={"verb": "list", "resource": "pods"}),
    "AstraApiServerFails": Case(
        {calls(503): "0+1x60", calls(0): "0+1x60", calls(200): "0+8x60"}, {calls(503): "0+1x60", calls(200): "0+99x60"}
    ),
    "AstraEventsMissed": Case({MISSED: "0+1x90"}, {MISSED: "0x30 9x60"}, minutes=60, labels=WHO),
    "AstraStreamsReopened": Case({STARTS: "0+0.2x90"}, {STARTS: "1x30 3x60"}, minutes=70, labels=WHO),
    "AstraRunStalled": Case(
        {runs("Stalled"): "2x60"},
        {runs("Stalled"): "1x27 0x30 1x3", runs("Stalled", "False"): "9x60"},
        labels={"kind": "RLRun"},
        value="2",
    ),
    "AstraServicesNotReady": Case(
        {runs("ServicesReady", "False"): "1x90"},
        {runs("ServicesReady", "Unknown"): "1x90", runs("ServicesReady", "False"): "1x50 0x40"},
        minutes=60,
        labels={"kind": "RLRun"},
        value="1",
    ),
    "AstraRunsRestart": Case(
        {RESTARTS % "OutOfMemory": "0+0.2x90"},
        {RESTARTS % "Preempted": "0+1x90", RESTARTS % "OutOfMemory": "0+0.02x90"},
        minutes=70,
        labels={"kind": "SFTRun", "cause": "OutOfMemory"},
    ),
    "AstraSandboxCallsLost": Case(
        {TOOL_CALLS % "session_lost": "0+1x60", TOOL_CALLS % "ok": "0+9x60"},
        {TOOL_CALLS % "session_lost": "0+1x60", TOOL_CALLS % "ok": "0+99x60", TOOL_CALLS % "tool_error": "0+99x60"},
    ),
    "AstraSandboxSlow": Case(
        {bucket(TOOL_SECONDS, "5.0"): "0x60", bucket(TOOL_SECONDS, "10.0"): "0+9x60", bucket(TOOL_SECONDS, "+Inf"): "0+9x60"},
        {bucket(TOOL_SECONDS, "1.0"): "0+9x60", bucket(TOOL_SECONDS, "10.0"): "0+9x60", bucket(TOOL_SECONDS, "+Inf"): "0+9x60"},
    ),
    "AstraSandboxFull": Case({WAITING: "3x60"}, {WAITING: "3x24 0x2 3x60"}, labels={"job": "pool", "instance": "one"}),
}


def expected(alert: str, case: Case) -> dict[str, Any]:
    """Return the alert with its texts filled in."""
    rule = RULES[alert]
    words = {f"$labels.{name}": value for name, value in case.labels.items()} | {"$value": case.value}
    texts = {name: re.sub(r"\{\{ (\S+) \}\}", lambda found: words[found[1]], text) for name, text in rule["annotations"].items()}
    return {"exp_labels": rule["labels"] | case.labels, "exp_annotations": texts}


def verdict(alert: str, series: Series, minutes: int, alerts: list[dict[str, Any]], folder: Path) -> str:
    """Return what promtool has against alerts being those at that time; empty when they are."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": alerts}],
    }
    (folder / "test.yaml").write_text(json.dumps({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", folder / "test.yaml")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", FILE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(RULES)
    assert all(set(rule["annotations"]) == {"summary", "description"} and rule["labels"]["severity"] for rule in RULES.values())


@pytest.mark.parametrize("alert", CASES)
def test_fires(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]
    assert verdict(alert, case.fires, case.minutes, [expected(alert, case)], tmp_path) == ""
    assert "got:" in verdict(alert, case.fires, case.minutes, [], tmp_path), "promtool would say so if it were wrong"


@pytest.mark.parametrize("alert", CASES)
def test_is_silent(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]
    assert verdict(alert, case.silent, case.minutes, [], tmp_path) == ""
