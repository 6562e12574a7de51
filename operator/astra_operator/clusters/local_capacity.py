"""Who may start now: admission by CPU and memory requests against this machine.

A PyTorchJob's pods start all together or wait, because a rank alone would only hold its place while it waits for the others;
pods of a Job start one by one. First come, first served: a workload that waits is never overtaken, so none starves.
A request that is bigger than the whole machine counts as the whole machine, with one line that says so: it runs alone
instead of waiting for ever (the same manifests then run on a laptop and on a server, only slower).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from astra_jobs.api.v1alpha1.quantities import parse
from astra_operator.clusters.base import Object
from astra_operator.clusters.local_launch import container


@dataclass(frozen=True)
class Amount:
    """CPU in thousandths of a core, memory in bytes."""

    cpu: int = 0
    memory: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.cpu - other.cpu, self.memory - other.memory)

    def within(self, other: "Amount") -> bool:
        """Tell if both parts are at most the other's."""
        return self.cpu <= other.cpu and self.memory <= other.memory

    def capped(self, most: "Amount") -> "Amount":
        """Return the amount with each part at most the other's."""
        return Amount(min(self.cpu, most.cpu), min(self.memory, most.memory))

    def __str__(self) -> str:
        return f"{self.cpu / 1000:g} CPU and {self.memory / 2**30:.1f} GiB"


def request_of(pod: Object) -> Amount:
    """Return what a pod asks for."""
    asked = container(pod).get("resources", {}).get("requests", {})
    return Amount(int(parse(asked.get("cpu", "0")) * 1000), int(parse(asked.get("memory", "0"))))


def total(pods: Iterable[Object]) -> Amount:
    """Return what several pods ask for together."""
    amount = Amount()
    for pod in pods:
        amount += request_of(pod)
    return amount


def machine() -> Amount:
    """Return what this machine has: usable cores, and the smaller of its memory and the control group's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        memory = min(memory, int(text))
    return Amount(len(os.sched_getaffinity(0)) * 1000, memory)


@dataclass(frozen=True)
class Group:
    """Pods that start together: a PyTorchJob's, or one pod of a Job."""

    name: str
    pods: tuple[Object, ...]


@dataclass(frozen=True)
class Decision:
    """What admission says: groups to start, why the others wait (by group name), and what was capped (one line each)."""

    start: tuple[Group, ...]
    waiting: dict[str, str]
    capped: tuple[str, ...]


def admit(waiting: Iterable[Group], running: Iterable[Object], machine_has: Amount) -> Decision:
    """Decide who starts; ``waiting`` is in order of arrival."""
    free = machine_has - total(running)
    start: list[Group] = []
    reasons: dict[str, str] = {}
    capped: list[str] = []
    for group in waiting:
        wanted = total(group.pods)
        need = wanted.capped(machine_has)
        if reasons:
            reasons[group.name] = f"needs {need}; waits for {next(iter(reasons))}, which came first"
        elif not need.within(free):
            reasons[group.name] = f"needs {need}; {Amount(max(0, free.cpu), max(0, free.memory))} are free"
        else:
            start.append(group)
            free -= need
            if need != wanted:
                capped.append(f"{group.name} asks for {wanted}, this machine has {machine_has}: it runs alone, and slower than asked for")
    return Decision(tuple(start), reasons, tuple(capped))
