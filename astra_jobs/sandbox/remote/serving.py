"""Serves one session's queue until it is empty: a place for the session, its calls, and what to do when that fails.

Three things are done about trouble, and each ends with the callers' patience: the lane asks the same again; a server that
asked to be left alone is waited for; a session that was lost is made again from its log, on the next server when need be.
"""

import time

from astra_jobs.sandbox.protocol import failure
from astra_jobs.sandbox.remote.fleet import Fleet
from astra_jobs.sandbox.remote.lane import Lane
from astra_jobs.sandbox.remote.line import pause_after, pause_of
from astra_jobs.sandbox.remote.session import Item, Session, Setback
from astra_jobs.sandbox.remote.troubles import Busy, Exhausted, Refused, Unreachable
from astra_jobs.sandbox.remote.wire import CallAnswer, SessionAnswer

LOSSES = 4
"""Times in a row that a session may be lost before its call is given up: a tool that does not repeat itself loses it each time."""


async def serve(session: Session, fleet: Fleet) -> None:
    """Answer everything in the session's queue; JobError when a server must not be used at all."""
    tried: set[str] = set()
    while session.queue and not session.closed:
        session.deadline = session.queue[0].deadline
        try:
            await _round(session, fleet, tried)
        except Unreachable:
            fleet.metrics.add("moves")
            session.forget()
        except Exhausted as end:
            fleet.metrics.add(f"given_up_{end.outcome}")
            session.fail(failure(end.outcome, str(end)))


async def prepare(session: Session, fleet: Fleet) -> None:
    """Give the session its place before the first call asks for it; what fails here is tried again by the call."""
    session.deadline = time.monotonic() + fleet.settings.patience
    try:
        await _placed(session, fleet, set())
    except Unreachable:
        session.forget()
    except Exhausted:
        session.forget()


async def _round(session: Session, fleet: Fleet, tried: set[str]) -> None:
    """Send the next calls and take their results."""
    lane = await _placed(session, fleet, tried)
    if session.closed:
        return
    items = session.next(fleet.settings.batch_calls, fleet.settings.batch_bytes)
    if not items:
        return
    try:
        answers = await _ask(session, lane, items)
    except Refused:  # one of them is to blame: on its own it is told so
        items = items[:1]
        answers = await _ask(session, lane, items)
    if session.closed:
        return
    setback = session.settle(items, answers)
    if setback is None:
        tried.clear()
    else:
        _set_back(session, fleet, lane, setback, tried)


async def _ask(session: Session, lane: Lane, items: list[Item]) -> list[CallAnswer]:
    return await lane.calls.ask((session.name, items), len(items), sum(len(item.arguments.json) for item in items))


def _set_back(session: Session, fleet: Fleet, lane: Lane, setback: Setback, tried: set[str]) -> None:
    """Prepare the next round after infrastructure kept a call from its result; Exhausted when there shall be none."""
    fleet.metrics.add(f"retries_{setback.outcome}")
    assert setback.outcome in ("session_lost", "overloaded", "infra_error")
    wait = 0.0
    if setback.outcome == "overloaded":
        wait = pause_of(setback.after)
        lane.calls.hold(wait)
    else:
        session.losses += 1
        if session.losses > 1 or setback.outcome == "infra_error":
            tried.add(lane.url)
    if session.losses >= LOSSES or time.monotonic() + wait >= session.deadline:
        raise Exhausted(setback.outcome, setback.message)


async def _placed(session: Session, fleet: Fleet, tried: set[str]) -> Lane:
    """Return the server that has the session, after giving it to one when none has."""
    tries = 0
    lane: Lane | None = None
    end = Exhausted("infra_error", f"no sandbox server answers at {', '.join(fleet.endpoints.urls)}")
    while session.lane is None or not session.created:
        if time.monotonic() >= session.deadline:
            raise end
        lane = fleet.place(session.environment, tried)
        if lane is None or tries > len(fleet.lanes):
            tried.clear()
            await fleet.changed(min(pause_after(tries + 1), session.deadline - time.monotonic()))
        if lane is None:
            tries += 1
            continue
        session.move(lane)
        try:
            await _open(session, lane, fleet)
        except Busy as busy:
            lane.openings.hold(pause_of(busy.after))
            end = Exhausted("overloaded", str(busy))
        except Unreachable as error:
            end = Exhausted("infra_error", str(error))
        if not session.created:
            session.forget(there=False)
            tried.add(lane.url)
            tries += 1
            fleet.metrics.add("retries_open")
        if session.closed:
            return lane
    return session.lane


async def _open(session: Session, lane: Lane, fleet: Fleet) -> None:
    """Have the server make the session. It may not come to be: then something was done about that."""
    name, answer = session.name, SessionAnswer()
    for _ in range(2):  # a server that began anew is given the environment again
        await lane.ready(session.environment, session.deadline)
        epoch = lane.epoch
        if session.closed:
            return
        answer = await lane.openings.ask(session, 1, session.log_bytes)
        if answer.error != "unknown_environment":
            break
        lane.stale(epoch)
    if answer.error == "overloaded":
        raise Busy(f"{lane.url}: {answer.message}", None if answer.retry_after_ms is None else answer.retry_after_ms / 1000)
    if answer.error not in ("", "unknown_environment", "session_conflict"):
        session.forget(there=False)
        raise Exhausted("infra_error", f"{lane.url} makes no session: {answer.error}: {answer.message}")
    if session.closed:
        lane.end(name)
    elif not answer.error:
        session.created = True
        fleet.metrics.add("sessions_opened")
        if session.log:
            fleet.metrics.add("replays")
            fleet.metrics.add("replayed_calls", len(session.log))
