"""What one attack is: data. The catalogue is full of them, the battery runs them.

An attack's code is a plain function whose source text is sent to a sandbox as a tool, behind that of ``weapons.py``. It
gets ``Scene.targets`` as its arguments: paths, process numbers and addresses outside the sandbox, never a secret.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attacks import weapons

GROUPS = ("time", "memory", "processes", "output", "files", "information", "network", "escalation", "protocol", "determinism", "channels")
WEAPONS = Path(weapons.__file__).read_text()

Proof = Callable[[Any], bool]
"""From what happened (``battery.Event``) to whether the attack did its harm."""


@dataclass(frozen=True)
class Attack:
    """One attack.

    ``walls``: what stops it; all of them are off for the control. ``alone``: those of which each is enough by itself.
    ``outcomes``: what its last call may come to with every wall up. ``calls``: how often it is called in a row.
    ``limits``: limits that are wider in the control. ``root``: the control needs a pool that runs as root. ``native``: why
    gVisor has no such thing, so that there is no control there. ``ruins``: its control leaves a pool behind that is of no
    more use. ``linger``: seconds for late harm to show. ``after``: what the next good call of the attacker's own session
    may come to besides being right, because the attack sits in that session's process for good. ``why``: what stops it
    where that can never be switched off; such an attack has no walls, no control, and does not count.
    """

    name: str
    group: str
    about: str
    source: str
    proof: Proof
    walls: tuple[str, ...]
    alone: tuple[str, ...]
    outcomes: frozenset[str]
    calls: int = 1
    limits: dict[str, Any] = field(default_factory=dict)
    root: bool = False
    native: str = ""
    ruins: bool = False
    linger: float = 0.0
    why: str = ""
    after: tuple[str, ...] = ()


ATTACKS: dict[str, Attack] = {}


def attack(
    group: str,
    *walls: str,
    proof: Proof,
    alone: Collection[str] | None = None,
    outcomes: str = "tool_error",
    **more: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function into the catalogue. ``outcomes`` are words; every wall is enough alone unless ``alone`` says which are."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__
        assert group in GROUPS, group
        assert name not in ATTACKS, f"two attacks are called {name}"
        enough = tuple(walls if alone is None else alone)
        assert set(enough) <= set(walls), name
        assert bool(walls) != bool(more.get("why")), name
        ATTACKS[name] = Attack(
            name=name,
            group=group,
            about=inspect.getdoc(function) or "",
            source=f"{WEAPONS}\n\n{bare_source(function)}",
            proof=proof,
            walls=walls,
            alone=enough if len(walls) > 1 else (),
            outcomes=frozenset(outcomes.split()),
            **more,
        )
        return function

    return add


def bare_source(function: Callable[..., Any]) -> str:
    """Return a function's source without its decorators."""
    text = textwrap.dedent(inspect.getsource(function))
    return "\n".join(text.splitlines()[ast.parse(text).body[0].lineno - 1 :])
