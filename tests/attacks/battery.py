"""Runs attacks against pools and judges them.

Each attack is run with its walls off, where it must succeed; with each wall that is enough alone; and with all walls up,
where its outcome must be one that it may have, everything outside unharmed, and the next calls of a neighbour and of the
attacker's own session correct. Pools are shared by attacks that want the same walls off.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astra_jobs.sandbox.pool import Engine, PoolSettings, Walls
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, ToolCode
from tests.attacks.attack import Attack
from tests.attacks.credulous import Credulous
from tests.attacks.plain import Plain
from tests.attacks.scene import Scene
from tests.attacks.walls import CPU, FRAMES, NO_SWITCH, WALL
from tests.patience import patience
from tests.unit.sandbox.waiting import process_of

ENDLESS = 10  # behind the limit of CPU time, work is longer by this factor, so that a machine that got faster does not end it in time
LIMITS = SandboxLimits(seconds=0.2, memory_mib=256, output_chars=10_000)
ANYTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}
COUNT = "N = []\ndef count(**a):\n    N.append(1)\n    return len(N)\n"
TWICE = ("determinism", "channels")
"""Groups whose attacks are run in a second session of the same seed beside the first."""
KEEP = "K = []\ndef keep(secret):\n    K.append(secret.encode())\n    return id(K[0]) + 32\n"
PATIENT = {"seconds": 5.0}
"""Limits of a control that is not about time: on a slow machine time must not be what stops the attack."""
PATIENCE = 2.0
"""Seconds for harm to show in a control."""
LONGEST = 40.0
"""Seconds that a control has to burn, however busy the machine is."""


@dataclass
class Event:
    """What one run of an attack came to."""

    scene: Scene
    results: list[CallResult]
    harm: set[str]
    twin: CallResult | None = None
    lives: bool = False
    burnt: float = 0.0

    @property
    def last(self) -> CallResult:
        return self.results[-1]


@dataclass
class Verdict:
    """One line of the battery's report; no faults means that it is as it must be."""

    attack: str
    group: str
    run: str
    faults: list[str]
    outcome: str
    text: str
    seconds: float

    def row(self) -> dict[str, Any]:
        return self.__dict__ | {"text": self.text[:160], "seconds": round(self.seconds, 3)}


@dataclass
class Ground:
    """A pool with a neighbour in it."""

    pool: Any
    off: frozenset[str]
    neighbour: str = ""
    counted: int = 0
    place: list[int] = field(default_factory=list)
    spoiled: bool = False

    async def settle(self, scene: Scene) -> None:
        """Move the neighbour in."""
        schema = {"type": "object", "properties": {"secret": {"type": "string"}}}
        tools = [ToolCode(name="count", parameters=ANYTHING, code=COUNT), ToolCode(name="keep", parameters=schema, code=KEEP)]
        self.neighbour = await self.pool.open(await self.pool.put(tools), 0)
        kept = await self.pool.call(self.neighbour, 0, "keep", {"secret": scene.secrets["neighbour"]})
        self.place = [await process_of(self.pool, self.neighbour), kept.value]

    async def family(self, session: str) -> list[int]:
        """Return the number of a session's process and of the one that forked it."""
        pid = await process_of(self.pool, session)
        return [pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])]

    async def neighbour_fault(self) -> str | None:
        """Ask the neighbour to count on; say what is wrong with its answer."""
        self.counted += 1
        result = await self.pool.call(self.neighbour, self.counted, "count", {})
        if (result.outcome, result.value) == ("ok", self.counted):
            return None
        return f"the neighbour answered {result.outcome} {result.text[:80]!r} instead of {self.counted}"


@contextlib.asynccontextmanager
async def ground(scene: Scene, off: Iterable[str], limits: dict[str, Any]) -> AsyncIterator[Ground]:
    """Start a pool without some walls; plain Python where the wall is no switch."""
    off = frozenset(off)
    pool: Any
    if off & NO_SWITCH:
        pool = Credulous() if FRAMES in off else Plain()
    else:
        walls = Walls(**dict.fromkeys(off, False))
        pool = Engine(PoolSettings(limits=LIMITS.model_copy(update=limits), walls=walls, prove=not off))
        await pool.start()
    try:
        made = Ground(pool, off)
        await made.settle(scene)
        yield made
    finally:
        await pool.stop()


class Battery:
    """Attacks on pools of one variant."""

    def __init__(self, scene: Scene, variant: str, pace: dict[str, float]) -> None:
        self.scene = scene
        self.variant = variant
        self.pace = pace
        self.verdicts: list[Verdict] = []

    async def defended(self, attacks: Iterable[Attack]) -> None:
        """Run attacks one after the other against pools with every wall up; time is short except where it is not the point."""
        planned = list(attacks)
        for limits in ({}, PATIENT):
            chosen = [attack for attack in planned if (attack.group in ("memory", "output")) == bool(limits)]
            if chosen:
                await self._defend(chosen, limits)

    async def _defend(self, attacks: list[Attack], limits: dict[str, Any]) -> None:
        async with ground(self.scene, (), limits) as made:
            assert made.pool.variant == self.variant, f"the pool is of the variant {made.pool.variant}"
            for attack in attacks:
                await self._judge(made, attack, "all walls up", self._fault_of_a_wall)

    async def controls(self, attacks: Iterable[Attack]) -> None:
        """Run attacks with their walls off, and with single ones up."""
        plans: dict[tuple[Any, ...], list[tuple[Attack, str]]] = {}
        for attack in attacks:
            timed = {CPU, WALL} & set(attack.walls)
            limits = tuple(sorted(({} if timed else PATIENT | attack.limits).items()))
            plans.setdefault((frozenset(attack.walls), limits), []).append((attack, ""))
            for wall in attack.alone:
                plans.setdefault((frozenset(attack.walls) - {wall}, limits), []).append((attack, wall))
        for (off, limits), planned in plans.items():
            await self._plan(off, dict(limits), planned)

    async def _plan(self, off: frozenset[str], limits: dict[str, Any], planned: list[tuple[Attack, str]]) -> None:
        left = list(planned)
        while left:
            async with ground(self.scene, off, limits) as made:
                while left and not made.spoiled:
                    attack, wall = left.pop(0)
                    run = f"only {wall} of {'+'.join(attack.walls)}" if wall else "its walls off"
                    await self._judge(made, attack, run, self._fault_of_a_single_wall if wall else self._fault_of_a_control)
                    made.spoiled = attack.ruins or await made.neighbour_fault() is not None

    async def _judge(self, made: Ground, attack: Attack, run: str, judge: Any) -> None:
        self.scene.restore()
        started = time.monotonic()
        faults, event = [], None
        try:
            event = await asyncio.wait_for(judge(made, attack, faults), patience())
        except Exception as error:  # noqa: BLE001 - an attack that breaks the harness is a finding as well
            faults.append(f"{type(error).__name__}: {error}")
        last = event.last if event is not None else None
        outcome, text = (last.outcome, last.text) if last else ("", "")
        self.verdicts.append(Verdict(attack.name, attack.group, run, faults, outcome, text, time.monotonic() - started))

    async def _fault_of_a_wall(self, made: Ground, attack: Attack, faults: list[str]) -> Event:
        session, event, own = await self._run(made, attack)
        good = await made.pool.call(session, 1000, "count", {})
        if (good.outcome, good.value) != ("ok", 2) and good.outcome not in attack.after:
            faults.append(f"the attacker's next good call gave {good.outcome} {good.text[:80]!r}")
        fault = await made.neighbour_fault()
        faults.extend([fault] if fault else [])
        event.harm |= self._harm(made, own)
        if attack.proof(event):
            faults.append("the attack succeeded")
        faults.extend(f"harmed: {name}" for name in sorted(event.harm - {"session"}))
        if event.last.outcome not in attack.outcomes:
            faults.append(f"outcome {event.last.outcome}, not one of {sorted(attack.outcomes)}")
        await made.pool.close(session)
        return event

    async def _fault_of_a_single_wall(self, made: Ground, attack: Attack, faults: list[str]) -> Event:
        session, event, own = await self._run(made, attack)
        event.harm |= self._harm(made, own)
        if attack.proof(event):
            faults.append("the attack succeeded against this wall alone")
        await made.pool.close(session)
        return event

    async def _fault_of_a_control(self, made: Ground, attack: Attack, faults: list[str]) -> Event:
        session, event, own = await self._run(made, attack, control=True)
        deadline = time.monotonic() + patience(PATIENCE)
        while not attack.proof(event) and time.monotonic() < deadline:
            event.harm |= self._harm(made, own)
            await asyncio.sleep(0.005)
        if not attack.proof(event):
            faults.append("the attack did not succeed without its walls")
        await made.pool.close(session)
        return event

    async def _run(self, made: Ground, attack: Attack, *, control: bool = False) -> tuple[str, Event, list[int]]:
        tools = [(attack.name, attack.source), ("count", COUNT)]
        environment = await made.pool.put([ToolCode(name=name, parameters=ANYTHING, code=code) for name, code in tools])
        session = await made.pool.open(environment, 1)
        await made.pool.call(session, 0, "count", {})
        own = await made.family(session)
        results = [await made.pool.call(session, 1 + number, attack.name, self._arguments(made)) for number in range(attack.calls)]
        event = Event(self.scene, results, self._harm(made, own))
        await self._linger(event, attack, own, burns=control and CPU in attack.walls)
        if attack.group in TWICE:
            other = await made.pool.open(environment, 1)
            await made.pool.call(other, 0, "count", {})
            event.twin = await made.pool.call(other, 1, attack.name, self._arguments(made))
            await made.pool.close(other)
        return session, event, own

    async def _linger(self, event: Event, attack: Attack, own: list[int], *, burns: bool) -> None:
        """Look for a while at what the session's process does after its answer; where it shall burn, until it has."""
        deadline = time.monotonic() + (LONGEST if burns else attack.linger)
        while attack.linger and own:
            event.burnt = max(event.burnt, cpu_of(own[0]))
            event.lives = alive(own[0])
            if not event.lives or time.monotonic() > deadline or (burns and attack.proof(event)):
                break
            await asyncio.sleep(0.02)

    def _arguments(self, made: Ground) -> dict[str, Any]:
        near = {"neighbour": made.place[0], "neighbour_address": made.place[1]}
        return {**self.scene.targets, **near, **self.pace, "rounds": self.pace["rounds"] * (1 if CPU in made.off else ENDLESS)}

    def _harm(self, made: Ground, own: list[int]) -> set[str]:
        gone = {"neighbour": made.place[0], **dict(zip(("session", "zygote"), own, strict=False))}
        return self.scene.harm() | {name for name, pid in gone.items() if not alive(pid)}


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
