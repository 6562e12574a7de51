"""Waiting in virtual time: what waits with a limit for what cannot come in a session advances the clock instead.

A session has one thread and no network, so nothing happens while it waits. What waits without a limit still blocks, and
meets the wall limit. ``time.sleep`` is in ``clock``.
"""

import select
import selectors
import threading
from collections.abc import Sequence
from typing import Any

from astra_jobs.sandbox.inside.clock import SECOND, Clock


def install(clock: Clock) -> None:
    """Replace waits of ``select`` that watch nothing, and of ``threading`` while there is one thread."""
    real_select, real_wait = select.select, threading.Condition.wait

    def waiting(read: Sequence[Any], write: Sequence[Any], other: Sequence[Any], timeout: float | None = None, /) -> Any:
        if timeout is None or len(read) or len(write) or len(other):
            return real_select(read, write, other, timeout)
        clock.sleep(timeout)
        return [], [], []

    def wait(this: threading.Condition, timeout: float | None = None) -> bool:
        if timeout is None or threading.active_count() > 1 or not this._is_owned():  # type: ignore[attr-defined]
            return real_wait(this, timeout)
        clock.sleep(max(0, timeout))
        return False

    waiting.__name__ = waiting.__qualname__ = "select"
    select.select = waiting  # type: ignore[assignment]
    setattr(threading.Condition, "wait", wait)  # noqa: B010
    setattr(threading, "_time", clock.read_seconds)  # noqa: B010 - bound when it was imported


class Selector(selectors.BaseSelector):
    """Watches nothing; its waits pass in virtual time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Remember what nothing will happen to."""
        return self._known.setdefault(fileobj, selectors.SelectorKey(fileobj, -1, events, data))

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget it."""
        return self._known.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass; RuntimeError where a real one would wait for ever."""
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, and nothing that they wait for can happen")
        self._clock.rest(-int(-max(0.0, timeout) * SECOND // 1))
        return []

    def get_map(self) -> Any:
        """Return what was registered."""
        return self._known


def install_loop(clock: Clock) -> None:
    """Give ``asyncio`` an event loop that needs no sockets and waits in virtual time."""
    import asyncio

    class Loop(asyncio.SelectorEventLoop):
        def __init__(self, selector: Any = None) -> None:
            super().__init__(Selector(clock) if selector is None else selector)

        def _make_self_pipe(self) -> None:
            """Have none: nobody wakes a loop of the only thread."""

        _close_self_pipe = _make_self_pipe

        def _write_to_self(self) -> None:
            """Have nobody to wake."""

    policy: Any = asyncio.DefaultEventLoopPolicy
    policy._loop_factory = Loop
    setattr(asyncio, "SelectorEventLoop", Loop)  # noqa: B010
    asyncio.set_event_loop_policy(None)


def completed(coroutine: Any) -> Any:
    """Run what a tool's async function returned."""
    import asyncio

    return asyncio.run(coroutine)
