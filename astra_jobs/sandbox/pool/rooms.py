"""Room for processes: how many live and run, which make way, which user ids are free, and the zygotes they come from.

An idle session's process makes way for a busy one's, a zygote that serves nobody for one that is needed; both come back
by replay. Nothing busy is ever ended for room: who finds none waits. A call that stands still in the kernel does not count as
running, since it takes no CPU from anybody; its process does count, and of processes an environment leaves some to others.
"""

import asyncio
import itertools
from collections import OrderedDict
from importlib.resources import files
from typing import Any, Protocol

from astra_jobs.sandbox.inside.frames import EXITED, KILL, STARTED
from astra_jobs.sandbox.pool.bases import Bases
from astra_jobs.sandbox.pool.deaths import Deaths, check
from astra_jobs.sandbox.pool.environment import Zygote
from astra_jobs.sandbox.pool.idle import Idle
from astra_jobs.sandbox.pool.link import Base
from astra_jobs.sandbox.pool.process import Process, Watcher
from astra_jobs.sandbox.pool.records import Bundle, Session
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.pool.watchdog import stopped

MIB = 1 << 20
STILLBORN = 2
"""Times that a zygote may end while it compiles before the tools are to blame."""
SIGKILL = 9
NO_LIMIT = 1 << 25
SHARED = -1
SHARE = 3
"""An environment may have busy processes up to so many times those that are free: three quarters of all where it is alone, and less
the more others have, so that there is always one left for who has none."""


class Owner(Watcher, Protocol):
    """Whoever runs calls on the processes."""

    def exited(self, process: Process) -> None:
        """Learn that a process which was in use ended; ``status`` says how."""

    def lost(self, process: Process) -> None:
        """Learn that a process ended with its zygote."""

    def room(self) -> None:
        """Learn that there may be room again."""

    def count(self, name: str) -> None:
        """Add one to a total."""


class Rooms:
    """Zygotes and processes of a pool."""

    def __init__(self, settings: PoolSettings, owner: Owner, users: range | None) -> None:
        self.settings = settings
        self.owner = owner
        self.bases = Bases(self._told, settings.hash_seed, self._base_event, self._changed)
        self.zygotes: OrderedDict[str, Zygote] = OrderedDict()
        self.idle = Idle()
        self.running: dict[str, Session] = {}
        self.still: set[str] = set()
        """Those of the running sessions whose call stands still in the kernel."""
        self.stillborn: dict[str, int] = {}
        self.live = 0
        self.forks = 0
        self.replays = 0
        self.deaths = Deaths(owner.count)
        self._users = list(users) if users is not None else None
        self._numbers = itertools.count(1)
        self._characters = settings.limits.output_chars if settings.walls.output else NO_LIMIT
        self._loop = asyncio.get_running_loop()

    @property
    def base(self) -> Base:
        """Return the base zygote, which may have died."""
        assert self.bases.base is not None
        return self.bases.base

    def _changed(self) -> None:
        self._loop.call_soon(self.owner.room)

    def _told(self) -> dict[str, Any]:
        limits = self.settings.limits
        return {
            "seconds": limits.seconds,
            "memory": limits.memory_mib * MIB,
            "output": limits.output_chars,
            "epoch": self.settings.epoch,
            "scatter": self.settings.scatter,
            "walls": self.settings.walls._asdict(),
            "zones": str(files("tzdata") / "zoneinfo"),
        }

    def _base_event(self, operation: bytes, number: int, value: int) -> None:
        if operation == STARTED:
            for zygote in self.zygotes.values():
                if zygote.number == number:
                    zygote.pid = value
        elif operation == EXITED:
            for zygote in self.zygotes.values():
                if zygote.number == number and not zygote.ready and value != SIGKILL:
                    digest = zygote.bundle.digest
                    self.stillborn[digest] = self.stillborn.get(digest, 0) + 1

    def enter(self, session: Session) -> bool:
        """Give a session a process and count it as running; False when it has to wait. Raises NoBase and GivenUp."""
        if self.full or not self._share(session.bundle.digest):
            return False
        if session.process is not None:
            session.process.again = True
        elif not self._fork(session):
            return False
        process = session.process
        assert process is not None
        self.idle.discard(session)
        self.running[session.id] = session
        process.zygote.busy += 1
        session.busy = True
        return True

    @property
    def full(self) -> bool:
        """Tell whether as many calls run as may."""
        return len(self.running) - len(self.still) >= self.settings.parallel

    def _share(self, environment: str) -> bool:
        zygote = self.zygotes.get(environment)
        return zygote is None or zygote.busy < SHARE * (self.settings.live - len(self.running))

    def leave(self, session: Session) -> None:
        """Count a session as idle."""
        if session.busy:
            session.busy = False
            del self.running[session.id]
            self.still.discard(session.id)
            if session.process is not None:
                session.process.zygote.busy -= 1
                self.idle.add(session, again=session.process.again)

    def drop(self, session: Session, *, kill: bool) -> None:
        """End a session's process; it may get another."""
        process = session.process
        if process is None:
            return
        self.leave(session)
        self.idle.discard(session)
        session.process = None
        self.live -= 1
        if kill:
            process.kill()
        else:
            process.close()

    def _fork(self, session: Session) -> bool:
        check(session)
        while self.live >= self.settings.live or self._users == []:
            if not self.idle or self._users == []:
                return False
            self.drop(self.idle.draw(), kill=False)
            self.owner.count("made_way")
        zygote = self._zygote(session.bundle)
        if zygote is None:
            return False
        user = self._users.pop() if self._users is not None else SHARED
        process = Process(session, zygote, next(self._numbers), user, self._characters)
        process.again = self.idle.lucky()
        process.attach(self.owner)
        session.process = process
        self.live += 1
        self.forks += 1
        self.replays += bool(session.log)
        return True

    def _zygote(self, bundle: Bundle) -> Zygote | None:
        """Return an environment's zygote; None where there is no room for one more, or no base zygote yet. Raises NoBase."""
        base = self.bases.get()
        found = self.zygotes.get(bundle.digest)
        if found is not None:
            self.zygotes.move_to_end(bundle.digest)
            return found
        if base is None:
            return None
        while self.zygotes and self._crowded():
            if not self.retire_one():
                return None
        zygote = self.zygotes[bundle.digest] = Zygote(base, next(self._numbers), bundle, self._exited, self._ended)
        return zygote

    def _crowded(self) -> bool:
        most = self.settings.zygote_mib * MIB
        return len(self.zygotes) >= self.settings.environments or sum(zygote.memory for zygote in self.zygotes.values()) >= most

    def retire_one(self) -> bool:
        """End the zygote that can best be missed; False when all have calls running."""
        spare = [zygote for zygote in self.zygotes.values() if zygote.busy == 0]
        empty = (zygote for zygote in spare if all(process.gone for process in zygote.processes.values()))
        victim = next(empty, spare[0] if spare else None)
        if victim is None:
            return False
        for process in list(victim.processes.values()):
            if not process.gone:
                self.drop(process.session, kill=False)
        victim.retire()
        return True

    def put_down(self, zygote: Zygote) -> None:
        """Kill a zygote that does not answer, or the base zygote where that is what stands still; sessions come back by replay."""
        if stopped(zygote.base.process.pid):
            zygote.base.process.kill()
        elif not zygote.base.control.closed:
            zygote.base.control.send(KILL, zygote.number)

    def _exited(self, process: Process) -> None:
        self._free(process)
        if not process.gone:
            self.owner.exited(process)
        elif process.hung_up:
            self.deaths.ended(process)
        self._loop.call_soon(self.owner.room)

    def _free(self, process: Process) -> None:
        if self._users is not None and process.user >= 0:
            self._users.insert(0, process.user)

    def _ended(self, zygote: Zygote) -> None:
        if self.zygotes.get(zygote.bundle.digest) is zygote:
            del self.zygotes[zygote.bundle.digest]
        for process in list(zygote.processes.values()):
            self._free(process)
            if not process.gone:
                self.owner.lost(process)
        zygote.processes.clear()
        self._loop.call_soon(self.owner.room)

    def next_user(self) -> int:
        """Return the user id that the next process gets."""
        return self._users[-1] if self._users else SHARED

    async def stop(self) -> None:
        """End every process."""
        for session in [*self.running.values(), *self.idle]:
            self.drop(session, kill=False)
        for zygote in list(self.zygotes.values()):
            zygote.retire()
        await self.bases.stop()
