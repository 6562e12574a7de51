"""Where everything came from: each artifact with its digest, inputs, files and the spec that asked for it."""

import json
from collections.abc import Sequence

from astra_jobs.api.credentials import outline
from astra_jobs.report.figures import counted, number, short, size
from astra_jobs.report.markup import Markup, tag
from astra_jobs.report.parts import Column, fold, missing, section, table
from astra_jobs.report.runs import STAGES, Run, Stage


def provenance(runs: Sequence[Run]) -> Markup:
    """Return the section."""
    made = {stage.artifact.digest: (run, stage) for run in runs for stage in run.stages}
    return section(
        "provenance",
        "Provenance",
        "Every artifact is named by the SHA-256 of its manifest, which lists its files by SHA-256 and the artifacts it was made from. "
        "Equal work gives equal digests on every machine.",
        [_run(run, made) for run in runs],
    )


def _run(run: Run, made: dict[str, tuple[Run, Stage]]) -> Markup:
    asked = json.dumps(outline(run.body.get("spec", {})), indent=2, ensure_ascii=False)
    absent = [name for name in STAGES.get(run.kind, ()) if run.stage(name) is None]
    return tag(
        "article",
        tag("h3", run.name, " ", tag("span", run.kind, class_="kind")),
        [_stage(stage, made) for stage in run.stages],
        missing(f"No artifact yet: {', '.join(absent)}.") if absent else None,
        fold("What was asked for", tag("pre", asked)),
        id=run.key,
    )


def _stage(stage: Stage, made: dict[str, tuple[Run, Stage]]) -> Markup:
    manifest = stage.manifest
    total = sum(entry.size for entry in manifest.files)
    columns = [Column("File", "code"), Column("Size", "number"), Column("Records", "number"), Column("SHA-256", "code long")]
    rows = [
        [entry.path, size(entry.size), number(entry.records) if entry.records is not None else "–", entry.sha256]
        for entry in manifest.files
    ]
    facts = tag(
        "dl",
        _fact("Artifact", tag("code", stage.artifact.uri)),
        _fact("Digest", tag("code", stage.artifact.digest)),
        _fact("Key", tag("code", manifest.key)),
        _fact("Made from", [_source(digest, made) for digest in manifest.inputs] or "nothing but its spec"),
        _fact("Metrics", ", ".join(f"{name} {value}" for name, value in manifest.metrics.items())) if manifest.metrics else None,
        class_="facts",
    )
    summary = [
        tag("strong", stage.name),
        f" · {short(stage.artifact.digest)} · {counted(len(rows), 'file')}, {size(total)}",
    ]
    return tag("div", fold(summary, facts, table("Files", columns, rows)), id=_anchor(stage.artifact.digest))


def _fact(name: str, value: object) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value))


def _source(digest: str, made: dict[str, tuple[Run, Stage]]) -> Markup:
    if digest in made:
        run, stage = made[digest]
        return tag("a", f"{run.name} / {stage.name} {short(digest)}", href=f"#{_anchor(digest)}", class_="source")
    return tag("code", digest, class_="source")


def _anchor(digest: str) -> str:
    return f"artifact-{short(digest)}"
