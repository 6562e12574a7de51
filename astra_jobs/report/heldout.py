"""Held-out worlds: every model and both controls on the same environments, with bootstrap intervals (SPEC 7)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.records.evaluation import Difference, Evaluation, ModeResult, PolicyResult
from astra_jobs.report.charts import Bar, BarChart, bar_chart, difference_chart
from astra_jobs.report.figures import interval, number, share, short, signed
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import Column, figure, fold, missing, section, table
from astra_jobs.report.runs import Run, Stage

NAMES = {"untrained": "Untrained", "sft": "SFT", "rl": "SFT + RL", "randomArgument": "Random argument", "oracle": "Oracle"}
_STYLES = {"untrained": "zero", "sft": "one", "rl": "two", "randomArgument": "control", "oracle": "control"}
_GROUPS = (("Greedy", "Greedy"), ("Sampled", "Sampled, T = 1"), ("Control", "Controls"))


@dataclass
class Measurement:
    """Everything that was measured on one set of environments."""

    environments: int
    digest: str
    policies: dict[str, PolicyResult] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def measurements(runs: Sequence[Run]) -> list[Measurement]:
    """Join the evaluations of all runs by the environments they used; of one policy the later run's stands."""
    found: dict[str, Measurement] = {}
    for run in runs:
        stage = run.stage("evaluate")
        if stage is None:
            continue
        result = _read(stage)
        here = found.setdefault(result.environments_digest, Measurement(result.environments, result.environments_digest))
        here.policies.update({policy.name: policy for policy in result.policies})
        here.runs.append(run.name)
        seen = {(row.before, row.after, row.mode, row.metric) for row in result.differences}
        here.differences = [row for row in here.differences if (row.before, row.after, row.mode, row.metric) not in seen] + list(
            result.differences
        )
    return list(found.values())


def find(measurement: Measurement, policy: str, mode: str) -> ModeResult | None:
    """Return what was measured of a policy in a mode."""
    result = measurement.policies.get(policy)
    return next((entry for entry in result.modes if entry.mode == mode), None) if result else None


def gain(measurement: Measurement) -> Difference | None:
    """Return the paired difference that reinforcement made to the reward at T = 1."""
    wanted = ("sft", "rl", "Sampled", "reward")
    return next((row for row in measurement.differences if (row.before, row.after, row.mode, row.metric) == wanted), None)


def heldout(runs: Sequence[Run], found: Sequence[Measurement]) -> Markup:
    """Return the section."""
    parts = [_measurement(measurement, place) for place, measurement in enumerate(found)]
    late = [run.name for run in runs if run.kind in ("SFTRun", "RLRun") and run.stage("evaluate") is None]
    return section(
        "heldout",
        "Held-out worlds",
        "The same environments for every model, none of which was trained on. Bars are means, whiskers 95 % bootstrap intervals over "
        "environments. The controls bound the scale: one calls the right form with random arguments, one knows the answers.",
        parts,
        missing(f"Not measured yet: {', '.join(late)}.") if late else None,
    )


def _measurement(measurement: Measurement, place: int) -> Markup:
    charts = [_bars(measurement, place, metric, words) for metric, words in (("solved", "Solved share"), ("reward", "Reward"))]
    words = f"{number(measurement.environments)} held-out environments, digest {short(measurement.digest)}."
    return tag(
        "article",
        tag("p", words, class_="muted"),
        tag("div", charts, _differences(measurement, place), class_="grid-2"),
        _slices(measurement),
    )


def _bars(measurement: Measurement, place: int, metric: str, words: str) -> Markup:
    groups = []
    rows: list[list[object]] = []
    for mode, title in _GROUPS:
        bars = []
        for name in NAMES:
            result = find(measurement, name, mode)
            if result:
                bars.append(Bar(NAMES[name], getattr(result, metric), _STYLES[name]))
                means = [interval(value) for value in (result.solved, result.reward)]
                others = [number(value.mean) for value in (result.calls, result.turns, result.tokens)] + [share(result.truncated)]
                tail = [number(result.echoed), number(result.episodes), number(result.masked)]
                rows.append([NAMES[name], title, *means, *others, *tail])
        if bars:
            groups.append((title, bars))
    axis, caption = _WORDS[metric]
    chart = bar_chart(BarChart(f"heldout-{metric}-{place}", words, f"{axis} by policy, with intervals.", axis, groups))
    return figure(chart, words, caption, table("Everything measured", _COLUMNS, rows) if metric == "solved" else None)


_WORDS = {
    "solved": (
        "share of worlds",
        "A world is solved when every one of its targets was met. Echoed: targets an episode "
        "solved by a call that was given the answer; a policy that guesses answers shows here.",
    ),
    "reward": ("mean reward", "Twice the solved targets over targets plus calls: 1 is every target with no call wasted."),
}
_COLUMNS = [
    Column("Policy"),
    Column("Mode"),
    Column("Solved", "number"),
    Column("Reward", "number"),
    Column("Calls", "number"),
    Column("Turns", "number"),
    Column("Tokens", "number"),
    Column("Truncated", "number"),
    Column("Echoed", "number"),
    Column("Episodes", "number"),
    Column("Lost", "number"),
]


_MODES = {"Greedy": "greedy", "Sampled": "T = 1"}
_PAIRED = "Differences paired by environment. An interval that leaves out 0 is a real change and coloured; grey ones are not."


def _differences(measurement: Measurement, place: int) -> Markup | None:
    if not measurement.differences:
        return None
    labels = [(f"{NAMES[row.after]} − {NAMES[row.before]}", row) for row in measurement.differences]
    shown = []
    for title in dict.fromkeys(label for label, _ in labels):
        rows = [(f"{row.metric}, {_MODES[row.mode]}", row) for label, row in labels if label == title]
        key = f"difference-{rows[0][1].before}-{rows[0][1].after}-{place}"
        about = f"Differences of {title} on the same environments, with intervals."
        shown.append(figure(difference_chart(key, title, about, rows), title, ""))
    columns = [
        Column("Difference"),
        Column("Mode"),
        Column("Metric"),
        Column("Mean", "number"),
        Column("95 % interval", "number"),
        Column("Leaves out 0"),
    ]
    behind = [
        [
            label,
            row.mode,
            row.metric,
            signed(row.mean),
            f"[{signed(row.low)}, {signed(row.high)}]",
            "yes" if row.low > 0 or row.high < 0 else "no",
        ]
        for label, row in labels
    ]
    return tag(
        "div",
        tag("p", _PAIRED, class_="muted"),
        shown,
        fold("All paired differences", table("Paired differences", columns, behind)),
        class_="grid-2 across",
    )


def _slices(measurement: Measurement) -> Markup | None:
    """Return solved share by scenario and number of hops, greedy."""
    shown = {name: {part.name: part for part in result.slices} for name in NAMES if (result := find(measurement, name, "Greedy"))}
    names = sorted({name for parts in shown.values() for name in parts})
    if not names:
        return None
    rows = []
    for name in names:
        count = next(parts[name].episodes for parts in shown.values() if name in parts)
        rows.append([_spaced(name), number(count), *(share(parts[name].solved) if name in parts else "–" for parts in shown.values())])
    columns = [Column("Worlds"), Column("Episodes", "number"), *(Column(NAMES[name], "number") for name in shown)]
    return fold("Solved share by scenario and hops, greedy", table("Solved share, greedy", columns, rows))


def _spaced(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _read(stage: Stage) -> Evaluation:
    where = f"{stage.artifact.uri}/evaluation.json"
    path = stage.folder / "evaluation.json"
    if not path.exists():
        raise BadInput(where, "InputUnavailable", "the file is missing from the artifact; run what made it again")
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadInput(where, "InputUnavailable", f"not an Evaluation: {explain(error, Evaluation)}") from None
