"""Doing once, in the base zygote, what every session does first, so that a fork touches fewer pages.

A session shares a zygote's memory until one of the two writes to it. Interpreter caches, counters of code that is run for the
first times and objects made on the way are written by whoever comes first; after this they are as they stay. Nothing that
a session can see is left behind: its clock starts and its streams of chance are keyed when it begins.
"""

import json
from collections.abc import Mapping
from typing import Any

from astra_jobs.sandbox.inside import session
from astra_jobs.sandbox.inside.clock import Chance, Clock
from astra_jobs.sandbox.inside.source import code_of, module_of

TIMES = 32
"""Calls until the interpreter has settled on how to run the code: it counts some of them first."""
_SOURCE = "def echo(x, y=None):\n    return {'x': x, 'y': y}\n"
_ARGUMENTS = {"x": 1, "y": [2.5, "text", None, True, {"z": [-1]}]}


def rehearse(settings: Mapping[str, Any], chance: Chance, clock: Clock) -> None:
    """Take the terminal from tools, key chance, set the clock, and load and run a tool as sessions do."""
    session.quiet()
    tools = session.Tools(settings, {"echo": (code_of("echo", _SOURCE), module_of("echo", _SOURCE))})
    body = json.dumps(["echo", _ARGUMENTS])
    for number in range(TIMES):
        chance.key(f"rehearsal/{number}")
        clock.start()
        clock.between_calls()
        (tool, arguments), _ = session.SCAN(body, 0)
        tools.run(tool, arguments)
        tools.functions.clear()
