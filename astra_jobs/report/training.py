"""Curves of SFTRun and RLRun: loss, reward, share of valid groups, calls and turns of an episode."""

from collections.abc import Sequence
from dataclasses import dataclass

from astra_jobs.report.charts import LineChart, Series, line_chart
from astra_jobs.report.figures import number
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import Column, figure, missing, section, table, thinned
from astra_jobs.report.runs import Run, read_curve

Curve = Sequence[dict[str, float]]


def training(runs: Sequence[Run]) -> Markup:
    """Return the curves of every training run."""
    parts = [_run(run) for run in runs if run.kind in ("SFTRun", "RLRun")]
    return section(
        "training",
        "Training",
        "Curves over updates. Where a faint line lies behind a strong one, the faint one is each step's value and the strong "
        "one the mean of its neighbours.",
        parts or missing("No training run is in this report."),
    )


def _run(run: Run) -> Markup:
    title = tag("h3", run.name, " ", tag("span", run.kind, class_="kind"))
    stage = run.stage("train")
    curve = read_curve(stage) if stage else []
    if not curve:
        state, words = run.state()
        return tag("article", title, missing(f"No curve yet: {state.lower()}{', ' + words if words else ''}."))
    charts = _sft(run, curve) if run.kind == "SFTRun" else _rl(run, curve)
    return tag("article", title, tag("div", charts, class_="grid-2"))


def _sft(run: Run, curve: Curve) -> list[Markup]:
    loss = _points(curve, "loss")
    chart = LineChart(
        key=f"{run.key}-loss",
        title=f"Training loss of {run.name}",
        description=f"Loss goes from {number(loss[0][1])} to {number(loss[-1][1])} over {len(loss)} updates.",
        y_label="loss, nats per label token",
        series=[Series("loss", loss, "one", _window(len(loss)))],
    )
    shown = [figure(line_chart(chart), "Loss", chart.description, _behind(curve, ("loss",)))]
    if any("gradientNorm" in row for row in curve):
        norms = _points(curve, "gradientNorm")
        chart = LineChart(
            key=f"{run.key}-norm",
            title=f"Gradient norm of {run.name}",
            description="Norm of the gradient before clipping.",
            y_label="gradient norm",
            series=[Series("norm", norms, "two", _window(len(norms)))],
        )
        shown.append(figure(line_chart(chart), "Gradient norm", chart.description, _behind(curve, ("gradientNorm",))))
    return shown


@dataclass(frozen=True)
class _Plot:
    """One chart of a reinforcement run: fields of the curve with the names and colours of their lines."""

    key: str
    title: str
    caption: str
    y_label: str
    lines: tuple[tuple[str, str, str], ...]
    top: float | None = None


_RL_PLOTS = (
    _Plot(
        "reward",
        "Reward",
        "Mean over the episodes generated in a step, at T = 1 and on training worlds; solved is the share with all targets met.",
        "mean of an episode",
        (("reward", "reward", "one"), ("solved", "solved", "two")),
        top=1.0,
    ),
    _Plot(
        "valid",
        "Valid groups",
        "Share of generated groups whose rewards differ; only these carry a gradient, the rest are dropped by batch filling.",
        "share of groups",
        (("validShare", "valid", "three"),),
        top=1.0,
    ),
    _Plot(
        "calls",
        "Calls and turns",
        "Mean of an episode; fewer calls at the same number of solved targets means a higher reward.",
        "per episode",
        (("calls", "calls", "one"), ("turns", "turns", "two")),
    ),
    _Plot(
        "lost",
        "Limits and infrastructure",
        "Truncated episodes keep the reward that they earned; those lost to infrastructure leave their group and are never a zero.",
        "share of episodes",
        (("truncated", "truncated", "two"), ("masked", "lost", "three")),
    ),
)


def _rl(run: Run, curve: Curve) -> list[Markup]:
    """Return the charts that the curve has fields for. Steps that generated no episode have no means and are left out."""
    played = [row for row in curve if row.get("episodes", 1.0) > 0]
    window = _window(len(played))
    shown = []
    for plot in _RL_PLOTS:
        lines = [Series(name, points, style, window) for field, name, style in plot.lines if (points := _points(played, field))]
        if not lines:
            continue
        title = f"{plot.title} of {run.name}"
        chart = LineChart(f"{run.key}-{plot.key}", title, plot.caption, plot.y_label, lines, top=plot.top)
        shown.append(figure(line_chart(chart), plot.title, plot.caption, _behind(played, [field for field, _, _ in plot.lines])))
    return shown


def _points(curve: Curve, field: str) -> list[tuple[float, float]]:
    return [(row["step"], row[field]) for row in curve if field in row]


def _window(steps: int) -> int:
    """Return the width of the mean over neighbours: none for short runs, a twentieth of long ones."""
    return 1 if steps < 12 else max(3, steps // 25)


def _behind(curve: Curve, fields: Sequence[str]) -> Markup:
    rows, words = thinned([[number(row["step"]), *(number(row[name], 4) if name in row else "–" for name in fields)] for row in curve])
    return table(f"Values by step{words}", [Column("Step", "number"), *(Column(name, "number") for name in fields)], rows)
