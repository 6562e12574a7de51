"""What a session has from its zygote: one socket, no memory that others see, nothing that carries a word to the next session."""

import asyncio
from typing import Any

from astra_jobs.sandbox.pool import Walls, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import tool

HELD = tool("held", "import os\ndef held():\n    return sorted(map(int, os.listdir('/proc/self/fd')))\n")
SHARED = tool("shared", "def shared():\n    return [line for line in open('/proc/self/maps') if line.split()[1][1::2] == 'ws']\n")
OPEN = {"files_open": False, "dumpable": False, "own_uid": False, "privileges": False}
"""A session that may look at itself."""


def told(code: Any, **walls: bool) -> Any:
    async def body() -> Any:
        async with process_sandbox(SandboxLimits(), walls=Walls(**{**OPEN, **walls}), prove=False) as engine:
            one = engine.create(await engine.put([code]), 0)
            result = await engine.call(one, 0, code.name, {})
            assert result.outcome == "ok", result
            return result.value

    return asyncio.run(body())


def test_a_session_holds_its_socket_and_no_other_descriptor() -> None:
    opened = HELD  # the listing's own descriptor is the lowest that is free
    assert told(opened) == [0, 3]
    assert told(opened, descriptors=False) == [0, 1, 2, 3, 4]


def test_a_session_shares_no_memory_with_anybody() -> None:
    assert told(SHARED) == []
    control = tool("shared", "import mmap\nM = mmap.mmap(-1, 4096)\n" + SHARED.code)
    assert len(told(control)) == 1
