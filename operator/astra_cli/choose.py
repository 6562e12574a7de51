"""Which run a person means: KIND, NAME, KIND NAME or KIND/NAME, kinds by any of their names."""

from collections.abc import Sequence

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.errors import BadInput
from astra_operator.clusters.base import Object
from astra_operator.crdgen.names import kind_named


def selected(given: Sequence[str], runs: Sequence[Object]) -> tuple[Kind | None, str | None]:
    """Read the words of a command line; raises ``BadInput`` for an unknown kind. A word that is a kind of no run is a name."""
    words = [part for word in given for part in word.split("/") if part]
    if len(words) > 2:
        raise BadInput(" ".join(given), "BadInput", "name one run as KIND NAME or KIND/NAME")
    if not words:
        return None, None
    kind = kind_named(words[0])
    if kind is None and len(words) == 2:
        raise BadInput(words[0], "BadInput", f"unknown kind; write one of {', '.join(KINDS)}")
    if kind is None or (len(words) == 1 and kind not in {run["kind"] for run in runs}):
        return None, words[0]
    return kind, words[1] if len(words) == 2 else None


def one_run(given: Sequence[str], namespace: str, runs: Sequence[Object]) -> Object:
    """Return the run that the words name; raises ``BadInput`` with what there is when it is none, or more than one."""
    here = [run for run in runs if run["metadata"]["namespace"] == namespace]
    kind, name = selected(given, here)
    found = [run for run in here if name in (None, run["metadata"]["name"]) and kind in (None, run["kind"])]
    if len(found) == 1 and name is not None:
        return found[0]
    known = ", ".join(f"{run['kind']}/{run['metadata']['name']}" for run in here) or "none; apply manifests first"
    problem = "there is no such run" if not found else "more than one run has this name" if name else "name one run"
    raise BadInput(" ".join(given), "BadInput", f"{problem}; in namespace {namespace} there are: {known}")
