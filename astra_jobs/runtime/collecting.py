"""``astra-job collect``: what a team's CronJob runs to free its store; without ``--remove`` it only tells what it would remove."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.api.live import LiveList
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.result import JobResult
from astra_jobs.runtime.arguments import Parser
from astra_jobs.runtime.collect import Outcome, Rubbish, collect
from astra_jobs.runtime.store import open_store

DAY = 86_400.0
LEAST_DAYS, DAYS = 1.0, 7.0
LIST_SECONDS = 3600.0
"""How old a list may be, so that no reference is too young for it and of a kind that the store knows nothing of."""
CLOCK_SECONDS = 300.0


def run(arguments: list[str]) -> JobResult:
    """Do one collection."""
    parser = Parser(prog="astra-job collect")
    parser.add_argument("--store", required=True, help="URL of the artifact store")
    parser.add_argument("--endpoint", help="S3 endpoint URL")
    parser.add_argument(
        "--live", required=True, type=Path, help="what the namespace's runs refer to, from python -m astra_operator.collection"
    )
    parser.add_argument("--days", type=_days, default=DAYS, help=f"days after its last use from which something may go; default {DAYS:g}")
    parser.add_argument("--remove", action="store_true", help="remove what is found; left out, tell what would be removed")
    options = parser.parse_args(arguments)
    store = open_store(StoreSettings(url=options.store, endpoint=options.endpoint or None))
    word = "remove" if options.remove else "would remove"
    outcome = collect(store, read_live(options.live), options.days * DAY, options.remove, lambda item: print(_line(word, item), flush=True))
    print(_end(outcome, options.remove), flush=True)
    return JobResult(outcome="Succeeded")


def read_live(path: Path) -> LiveList:
    """Read the list of live ones; refuse one that is not whole, or not of now."""
    try:
        live = LiveList.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(
            str(path), "BadInput", f"cannot be read ({error.strerror}); let python -m astra_operator.collection write it"
        ) from None
    except ValidationError as error:
        raise BadInput(str(path), "BadInput", f"is no whole list of live runs: {explain(error, LiveList)}") from None
    age = time.time() - live.time
    if age > LIST_SECONDS:
        raise BadInput(
            str(path), "BadInput", f"was written {age / 60:.0f} minutes ago, and at most {LIST_SECONDS / 60:.0f} are allowed; write another"
        )
    if age < -CLOCK_SECONDS:
        raise BadInput(str(path), "BadInput", f"was written {-age / 60:.0f} minutes from now; set the clocks of the machines right")
    return live


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LEAST_DAYS <= value <= 3650:
        raise argparse.ArgumentTypeError(f"found {text!r}; give days from {LEAST_DAYS:g} to 3650")
    return value


def _line(word: str, item: Rubbish) -> str:
    last = datetime.fromtimestamp(item.changed, tz=UTC)
    path = f"artifacts/{item.path}" if item.what == "artifact" else item.path
    return f"{word} {item.what} {path} ({item.size} bytes, last used {last:%Y-%m-%dT%H:%M:%SZ})"


def _end(outcome: Outcome, remove: bool) -> str:
    """Say in one line what came of it."""
    done = outcome.removed if remove else outcome.found
    text = f"{'removed' if remove else 'would remove'} {len(done)} things of {sum(item.size for item in done)} bytes"
    text += f"; {outcome.kept} artifacts are kept"
    if spared := len(outcome.found) - len(outcome.removed) if remove else 0:
        text += f"; {spared} were taken up meanwhile and left"
    if outcome.missing:
        text += f"; not in the store, though referred to: {', '.join(outcome.missing[:5])}{', …' if len(outcome.missing) > 5 else ''}"
    return text
