"""Funnels of the synthesis stages and the confusion matrix of their filters against planted defects (SPEC 6)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astra_jobs.records.funnel import FilterCount, StageReport
from astra_jobs.report.charts import meter
from astra_jobs.report.figures import number, share
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import Column, fold, missing, section, table
from astra_jobs.report.runs import Run, read_json, read_report

_KINDS = ("ToolCorpus", "ChainSynthesis", "EnvSynthesis")


def synthesis(runs: Sequence[Run]) -> Markup:
    """Return a part for each synthesis run."""
    parts = [_run(run) for run in runs if run.kind in _KINDS]
    return section(
        "synthesis",
        "Synthesis",
        "Each filter in the order in which items meet it: how many it saw, how many it dropped and why. The author plants "
        "labelled defects at known rates; no filter reads the labels, so a healthy filter drops exactly what was planted for it.",
        parts or missing("No synthesis run is in this report."),
    )


def _run(run: Run) -> Markup:
    title = tag("h3", run.name, " ", tag("span", run.kind, class_="kind"))
    for stage in run.stages:
        report = read_report(stage)
        if report is not None:
            return tag("article", title, _verdict(report), _funnel(report), _matrix(report), _notes(report), _card(stage.folder))
    state, words = run.state()
    return tag("article", title, missing(f"Not finished: {state.lower()}{', ' + words if words else ''}."))


def _verdict(report: StageReport) -> Markup:
    """Say in one sentence whether the filters found what was planted."""
    planted = sum(row.planted for row in report.funnel)
    caught = sum(row.planted_dropped for row in report.funnel)
    clean = sum(row.clean_dropped for row in report.funnel if row.planted)
    unscored = sum(row.unscored for row in report.funnel)
    if not planted:
        return tag("p", "Nothing was planted here: every drop is a judgement on real input.")
    words = f"{number(caught)} of {number(planted)} planted defects were dropped by the filter meant for them"
    words += f"; {number(clean)} clean items were dropped by those filters." if clean else "; no clean item was dropped by these filters."
    words += f" {number(unscored)} items stayed unscored." if unscored else ""
    return tag("p", tag("span", "✓ " if caught == planted and not clean else "✕ ", class_="sign"), words)


def _funnel(report: StageReport) -> Markup:
    largest = max((row.seen for row in report.funnel), default=1)
    columns = [
        Column("Filter"),
        Column("Kept and dropped", "wide"),
        Column("Seen", "number"),
        Column("Dropped", "number"),
        Column("Reasons"),
    ]
    rows = [
        [
            _words(row.filter),
            meter(row.seen - row.dropped, row.dropped, largest),
            number(row.seen),
            number(row.dropped),
            _reasons(row),
        ]
        for row in report.funnel
        if row.seen
    ]
    silent = [_words(row.filter) for row in report.funnel if not row.seen]
    note = tag("p", f"Saw nothing: {', '.join(silent)}.", class_="muted") if silent else None
    return tag("div", table(f"Funnel of {report.kind}", columns, rows), note, class_="funnel")


def _reasons(row: FilterCount) -> str:
    return (
        ", ".join(f"{_words(name)} {number(count)}" for name, count in sorted(row.reasons.items(), key=lambda item: (-item[1], item[0])))
        or "–"
    )


def _matrix(report: StageReport) -> Markup | None:
    """Return the confusion matrix of the filters for which something was planted, or that dropped something clean."""
    shown = [row for row in report.funnel if row.planted]
    if not shown:
        return None
    columns = [
        Column("Filter"),
        Column("Planted, dropped", "number"),
        Column("Planted, kept", "number"),
        Column("Clean, dropped", "number"),
        Column("Clean or real, kept", "number"),
        Column("Real or unscored, dropped", "number"),
    ]
    rows = [[_words(row.filter), *map(number, _cells(row))] for row in shown]
    if not any(_cells(row)[-1] for row in shown):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    wrong = frozenset(place for place, row in enumerate(shown) if row.planted != row.planted_dropped or row.clean_dropped)
    return fold(
        f"Confusion matrix of {len(shown)} filters against planted defects",
        table(f"Filters of {report.kind} against planted defects", columns, rows, flagged=wrong),
        open_=True,
    )


def _cells(row: FilterCount) -> tuple[int, int, int, int, int]:
    """Return the matrix's numbers. Real input carries no truth, so its drops are neither hits nor misses."""
    other = row.dropped - row.planted_dropped - row.clean_dropped
    kept = row.seen - row.dropped - (row.planted - row.planted_dropped)
    return row.planted_dropped, row.planted - row.planted_dropped, row.clean_dropped, kept, other


def _notes(report: StageReport) -> list[Markup]:
    found = [tag("p", note, class_="muted") for note in report.notes]
    if report.numbers:
        rows = [[_words(name), number(value, 4)] for name, value in sorted(report.numbers.items())]
        found.append(fold("Numbers of the stage", table("Numbers", [Column("What"), Column("Value", "number")], rows)))
    return found


def _card(folder: Path) -> Markup | None:
    """Return the data card's yields with their Wilson intervals."""
    path = folder / "card.json"
    if not path.exists():
        return None
    card = read_json(path)
    rows = [[_words(str(entry["filter"])), *_yield(entry)] for entry in card.get("yields", []) if entry["seen"]]
    rows.append(["end to end", *_yield(card["endToEnd"])] if "endToEnd" in card else ["end to end", "–", "–", "–"])
    columns = [Column("Filter"), Column("Kept", "number"), Column("Of", "number"), Column("Share kept, 95 % interval", "number")]
    axes = [[_words(name), share(value)] for name, value in card.get("axes", {}).items()]
    return fold(
        "Data card: yields and what the samples hold",
        table("Yields with Wilson intervals", columns, rows),
        table("Mean scores of the selected conversations", [Column("Axis"), Column("Mean", "number")], axes) if axes else None,
        [_histogram(card, name) for name in ("turns", "calls", "labels", "licences", "sources")],
    )


def _yield(entry: dict[str, Any]) -> list[str]:
    kept, seen = int(entry["kept"]), int(entry["seen"])
    return [number(kept), number(seen), f"{share(kept / seen if seen else 0.0)} [{share(entry['low'])}, {share(entry['high'])}]"]


def _histogram(card: dict[str, Any], name: str) -> Markup | None:
    counts = card.get(name) or {}
    if not counts:
        return None
    most = sorted(counts.items(), key=lambda item: -item[1])[:20]
    rows = [[str(key), number(count)] for key, count in most]
    return table(f"Samples by {name}", [Column(name.capitalize()), Column("Count", "number")], rows)


def _words(name: str) -> str:
    """Write a camelCase name as words."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return spaced.replace(".", ": ")
