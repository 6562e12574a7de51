"""Writes the report of a pipeline: one HTML file that needs nothing else (DESIGN 5).

The page loads nothing: style and script are inline, and its own content-security policy forbids everything else, so that what
a model or a tool wrote can neither run nor call out. Without JavaScript everything can still be read.
"""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from astra_jobs.api.errors import BadInput
from astra_jobs.report.heldout import heldout, measurements
from astra_jobs.report.markup import Markup, join, tag
from astra_jobs.report.overview import header, pipeline
from astra_jobs.report.provenance import provenance
from astra_jobs.report.runs import Run, in_order
from astra_jobs.report.synthesis import synthesis
from astra_jobs.report.training import training
from astra_jobs.report.transcripts import transcripts

_LINKS = (
    ("runs", "Runs"),
    ("synthesis", "Synthesis"),
    ("training", "Training"),
    ("heldout", "Held-out worlds"),
    ("transcripts", "Transcripts"),
    ("provenance", "Provenance"),
)


def write(runs: list[Run], out: Path) -> None:
    """Write the report of ``runs`` to ``out`` in one step."""
    data = page(runs).encode()
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(out)
    except OSError as error:
        raise BadInput("--out", "BadInput", f"found {str(out)!r}: cannot be written ({error.strerror}); name a file that can") from None


def page(runs: list[Run]) -> str:
    """Return the report as HTML; equal runs give equal bytes."""
    ordered = in_order(runs)
    found = measurements(ordered)
    body = [
        tag("a", "Skip to the runs", href="#runs", class_="skip"),
        header(ordered, found),
        tag("nav", [tag("a", words, href=f"#{key}") for key, words in _LINKS], aria_label="Sections"),
        tag(
            "main",
            pipeline(ordered),
            synthesis(ordered),
            training(ordered),
            heldout(ordered, found),
            transcripts(ordered),
            provenance(ordered),
        ),
        tag("footer", "Written by astra-job inspect report from the artifacts named above. This page loads nothing from anywhere."),
    ]
    return "<!doctype html>\n" + tag("html", _head(), tag("body", body, _raw("script", _own("reader.js"))), lang="en") + "\n"


def _head() -> Markup:
    script = base64.b64encode(hashlib.sha256(_own("reader.js").encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "ASTRA pipeline report"),
        _raw("style", _own("style.css")),
    )


def _own(name: str) -> str:
    """Return a file of this package."""
    return (files("astra_jobs.report") / name).read_text(encoding="utf-8")


def _raw(element: str, text: str) -> Markup:
    """Return an element around a file of this package, which HTML does not want escaped."""
    return join([Markup(f"<{element}>{text}</{element}>")])
