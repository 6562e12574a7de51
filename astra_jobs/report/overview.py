"""The top of the report: what ran, what came out, and the table of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from astra_jobs.report.figures import between, moment, number, share, short, signed
from astra_jobs.report.heldout import Measurement, find, gain
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import Column, section, table
from astra_jobs.report.runs import STAGES, Run, read_report

_SIGNS = {"Succeeded": "✓", "Failed": "✕", "Running": "…", "Waiting": "·", "Suspended": "‖"}


@dataclass(frozen=True)
class Headline:
    """One number worth knowing first."""

    value: str
    name: str
    note: str


def header(runs: Sequence[Run], measurements: Sequence[Measurement]) -> Markup:
    """Return title, one sentence on what ran, and the headline numbers."""
    done = sum(run.state()[0] == "Succeeded" for run in runs)
    ends = [str(run.attempt["completionTime"]) for run in runs if run.attempt.get("completionTime")]
    when = f", the last at {moment(max(ends))}" if ends else ""
    kinds = " → ".join(run.kind for run in runs)
    return tag(
        "header",
        tag("p", "ASTRA on Kubernetes", class_="brand"),
        tag("h1", "Pipeline report"),
        tag("p", f"{done} of {len(runs)} runs succeeded{when}.", class_="lead"),
        tag("p", kinds, class_="kinds"),
        tag("dl", [_headline(item) for item in headlines(runs, measurements)], class_="headlines"),
    )


def _headline(item: Headline) -> Markup:
    return tag("div", tag("dt", item.name), tag("dd", item.value, class_="value"), tag("dd", item.note, class_="note"))


def headlines(runs: Sequence[Run], measurements: Sequence[Measurement]) -> list[Headline]:
    """Return the numbers that a reader looks for, as far as the runs have come."""
    found = []
    planted = caught = 0
    for run in runs:
        for stage in run.stages:
            report = read_report(stage)
            planted += sum(row.planted for row in report.funnel) if report else 0
            caught += sum(row.planted_dropped for row in report.funnel) if report else 0
    if planted:
        found.append(Headline(f"{number(caught)} of {number(planted)}", "planted defects caught", "by the filter meant for each"))
    for measurement in measurements[:1]:
        before = find(measurement, "untrained", "Greedy")
        for name, words in (("sft", "after fine-tuning"), ("rl", "after reinforcement")):
            after = find(measurement, name, "Greedy")
            if after:
                note = f"greedy; untrained {share(before.solved.mean)}" if before else "greedy"
                found.append(Headline(f"{after.solved.mean:.0%}", f"held-out worlds solved {words}", note))
        change = gain(measurement)
        if change:
            note = f"at T = 1, 95 % interval [{signed(change.low)},\u00a0{signed(change.high)}]"
            found.append(Headline(signed(change.mean), "reward gained by reinforcement", note))
    return found


def pipeline(runs: Sequence[Run]) -> Markup:
    """Return the table of runs."""
    columns = [
        Column("Run"),
        Column("Status"),
        Column("Stages"),
        Column("Attempt", "code"),
        Column("Artifact", "code"),
        Column("Duration", "number"),
    ]
    return section(
        "runs",
        "Runs",
        "One row for each custom resource, in the order of the pipeline. An attempt's digest names what was asked for, an "
        "artifact's digest names what came out.",
        table("Runs, their state and their digests", columns, [_row(run) for run in runs]),
    )


def _row(run: Run) -> list[object]:
    state, words = run.state()
    attempt = run.attempt
    artifact = run.status.get("artifact") or {}
    done = [name for name in STAGES.get(run.kind, ()) if run.stage(name)]
    names = STAGES.get(run.kind, ())
    restarts = int(attempt.get("restarts") or 0)
    again = f", {restarts} restart{'s' if restarts > 1 else ''}" if restarts else ""
    digest = str(attempt.get("digest", ""))
    return [
        tag("a", tag("strong", run.name), " ", tag("span", run.kind, class_="kind"), href=f"#{run.key}"),
        [tag("span", f"{_SIGNS[state]} {state}", class_=f"state {state.lower()}"), " ", tag("span", words, class_="muted")],
        f"{len(done)} of {len(names)}: {', '.join(done) or 'none yet'}",
        tag("span", f"{attempt.get('number', '–')} · {short(digest) or '–'}{again}", title=digest),
        tag("span", short(str(artifact.get("digest", ""))) or "–", title=artifact.get("digest")),
        between(attempt.get("startTime"), attempt.get("completionTime")),
    ]
