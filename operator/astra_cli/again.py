"""Which of ``retry``, ``rerun`` and ``resume`` helps a run, and the next value of ``spec.retry``: on a laptop and in a cluster alike.

The value is a counter that is derived from the run alone, so a dry run, a second try and a repository of manifests see the same one.
"""

from astra_cli.state import observed, state_of, succeeded
from astra_jobs.api.errors import BadInput
from astra_operator.clusters.base import Object
from astra_operator.resolve import condition_status

NEVER_BEGUN = ("InvalidSpec", "SettingsInvalid", "ReferenceCycle")
"""Reasons of runs that failed before an attempt could: nothing is there to be tried again."""


def next_retry(run: Object, program: str) -> str:
    """Return the value of ``spec.retry`` that lets a failed run go on; raises ``BadInput`` with what helps one that has not failed."""
    name, condition = _name(run), succeeded(run)
    reason, message = condition.get("reason", ""), condition.get("message", "")
    if not observed(run):
        raise _refusal(name, "its newest spec was not looked at yet; ask again once it was")
    if state_of(run) == "Succeeded":
        raise _refusal(name, f"it has succeeded, nothing is left to try; {program} rerun {name} makes a new attempt")
    if condition_status(run, "Stalled") == "True" and (state_of(run) != "Failed" or reason in NEVER_BEGUN):
        raise _refusal(name, f"it is stalled and goes on by itself once that is put right: {reason}: {message}")
    if state_of(run) != "Failed":
        raise _refusal(name, f"it has not failed ({reason or 'Pending'}); a run that is on its way restarts by itself")
    return counted(run)


def counted(run: Object) -> str:
    """Return the value after the one that a run has: 1, 2, 3 …; after any other text, that text with .1 behind it."""
    value = str(run["spec"].get("retry") or "0")
    return str(int(value) + 1) if value.isdecimal() and len(value) < 18 else f"{value[:180]}.1"


def retried(run: Object, program: str) -> str:
    """Say what a retry of a run does."""
    if run["spec"].get("suspend"):
        return f"has to be resumed ({program} resume {_name(run)}), and then is tried again from its last checkpoint"
    return "is tried again from its last checkpoint"


def resumed(run: Object, program: str) -> str:
    """Say what a resumption of a run does; raises ``BadInput`` for a failed one that nobody had suspended."""
    failed, suspended = observed(run) and state_of(run) == "Failed", bool(run["spec"].get("suspend"))
    reason = succeeded(run).get("reason", "")
    helps = f"put right what its message says ({reason})" if reason in NEVER_BEGUN else f"{program} retry {_name(run)} lets it go on"
    if failed and not suspended:
        raise _refusal(_name(run), f"it is not suspended, it has failed ({reason}); {helps}")
    if failed:
        return f"is not suspended any more, but it has failed ({reason}); {helps}"
    return "goes on" if suspended else "was not suspended; nothing changes"


def _refusal(name: str, problem: str) -> BadInput:
    return BadInput(name, "BadInput", problem)


def _name(run: Object) -> str:
    return f"{run['kind']} {run['metadata']['name']}"
