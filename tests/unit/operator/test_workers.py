"""Workers: a run in one thread at a time, no wake-up lost, failures kept to their run, an end that waits for what is at work."""

import asyncio
import logging
import threading
from collections import Counter
from typing import Any

import pytest

from astra_operator.clusters.base import Fenced, RunKey, Unreachable
from astra_operator.clusters.memory import MemoryCluster
from astra_operator.controller import Controller
from astra_operator.metrics import Metrics
from astra_operator.reconcile import Outcome
from astra_operator.workers import Workers
from tests.patience import patience
from tests.reconcile.harness import SETTINGS

DEADLINE = 20


def key(number: int, namespace: str = "team") -> RunKey:
    return RunKey("ToolCorpus", namespace, f"run-{number}")


class Looks:
    """A controller whose looks are scripted: ``answer`` is called in the pool's threads."""

    def __init__(self, answer: Any) -> None:
        self.controller = Controller(MemoryCluster(), SETTINGS)
        self.at_work: Counter[RunKey] = Counter()
        self.seen: list[RunKey] = []
        self.overlaps = 0
        self.lock = threading.Lock()
        self.answer = answer
        self.controller.look = self.look  # type: ignore[method-assign]

    def look(self, key: RunKey) -> Outcome:
        with self.lock:
            self.overlaps += self.at_work[key]
            self.at_work[key] += 1
            self.seen.append(key)
        try:
            return self.answer(key)
        finally:
            with self.lock:
                self.at_work[key] -= 1


async def until(condition: Any) -> None:
    async with asyncio.timeout(patience(DEADLINE)):
        while not condition():
            await asyncio.sleep(0.001)


async def ended(workers: Workers, running: "asyncio.Task[None]") -> None:
    workers.stop()
    async with asyncio.timeout(patience(DEADLINE)):
        await running


def test_a_run_is_with_one_thread_at_a_time_and_every_wake_up_is_followed_by_a_look() -> None:
    looks = Looks(lambda key: Outcome(None, False))

    async def play() -> None:
        workers = Workers(looks.controller, 4, lambda key: True, Metrics())
        running = asyncio.create_task(workers.run(lambda: None))

        def hammer() -> None:
            for number in range(400):
                workers.wake(key(number % 3))

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        await until(lambda: not any(thread.is_alive() for thread in threads))
        before = len(looks.seen)
        for number in range(3):
            workers.wake(key(number))
        await until(lambda: {key(0), key(1), key(2)} <= set(looks.seen[before:]) and not looks.controller.queue)
        await ended(workers, running)

    asyncio.run(play())
    assert looks.overlaps == 0


def test_the_end_waits_for_what_is_at_work_and_hands_out_nothing_more() -> None:
    go = threading.Event()
    looks = Looks(lambda key: go.wait(DEADLINE) and Outcome(None, False))

    async def play() -> None:
        workers = Workers(looks.controller, 1, lambda key: True, Metrics())
        running = asyncio.create_task(workers.run(lambda: None))
        workers.wake(key(1))
        await until(lambda: looks.seen)
        workers.wake(key(2))
        workers.stop()
        await asyncio.sleep(0)
        assert not running.done()
        go.set()
        async with asyncio.timeout(patience(DEADLINE)):
            await running

    asyncio.run(play())
    assert looks.seen == [key(1)]


def test_a_fault_of_the_program_is_kept_to_its_run_and_a_busy_server_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    def answer(key: RunKey) -> Outcome:
        if key.name == "run-1":
            raise ZeroDivisionError("a fault")
        if key.name == "run-2":
            raise Unreachable("429", after=77.0)
        return Outcome(None, False)

    looks, metrics = Looks(answer), Metrics()

    async def play() -> None:
        workers = Workers(looks.controller, 2, lambda key: True, metrics)
        running = asyncio.create_task(workers.run(lambda: None))
        for number in (1, 2, 3):
            workers.wake(key(number))
        await until(lambda: len(looks.seen) == 3 and not looks.controller.queue.busy)
        await ended(workers, running)

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    lines = {record.run: (record.levelname, record.getMessage(), bool(record.exc_info)) for record in caplog.records}  # type: ignore[attr-defined]
    assert lines["run-1"] == ("ERROR", "ToolCorpus run-1: a fault; again in 1 s", True)
    assert lines["run-2"] == ("WARNING", "ToolCorpus run-2: 429; again in 77 s", False)
    counted = {name: metrics.registry.get_sample_value("astra_reconciles_total", {"kind": "ToolCorpus", "outcome": name})
               for name in ("error", "failed", "unchanged")}  # fmt: skip
    assert counted == {"error": 1, "failed": 1, "unchanged": 1}


def test_a_namespace_without_its_lease_is_not_looked_at_nor_kept_waiting() -> None:
    def answer(key: RunKey) -> Outcome:
        if key.namespace == "lost":
            raise Fenced("lost meanwhile")
        return Outcome(None, False)

    looks = Looks(answer)

    async def play() -> None:
        workers = Workers(looks.controller, 2, lambda key: key.namespace != "others", Metrics())
        running = asyncio.create_task(workers.run(lambda: None))
        for namespace in ("others", "lost", "team"):
            workers.wake(key(1, namespace))
        await until(lambda: len(looks.seen) == 2 and not looks.controller.queue)
        await ended(workers, running)

    asyncio.run(play())
    assert sorted(looks.seen) == [key(1, "lost"), key(1, "team")]


def test_the_readers_of_a_changed_run_are_looked_at_and_a_waiting_run_comes_back_by_itself() -> None:
    first = [Outcome(0.0, True)]
    looks = Looks(lambda key: first.pop() if first else Outcome(None, False))
    reader = {"kind": "ChainSynthesis", "metadata": {"name": "c", "namespace": "team"}, "spec": {"corpus": {"name": "run-1"}}}
    looks.controller.reconciler.readers.note(reader)

    async def play() -> None:
        workers = Workers(looks.controller, 2, lambda key: True, Metrics())
        running = asyncio.create_task(workers.run(lambda: None))
        workers.wake(key(1))
        await until(lambda: len(looks.seen) == 3 and not looks.controller.queue)
        await ended(workers, running)

    asyncio.run(play())
    assert Counter(looks.seen) == {key(1): 2, RunKey("ChainSynthesis", "team", "c"): 1}


def test_a_run_that_was_never_looked_at_comes_before_those_that_were() -> None:
    looks = Looks(lambda key: Outcome(None, False))
    controller = looks.controller
    for number in (1, 2):
        controller.wake(key(number))
    controller.work()
    for number in (1, 3, 2, 4):
        controller.wake(key(number))
    controller.work()
    assert looks.seen == [key(number) for number in (1, 2, 3, 4, 1, 2)]


def test_a_run_that_is_gone_is_new_when_it_is_applied_again() -> None:
    looks = Looks(lambda key: Outcome(None, False, gone=key.name == "run-1"))
    for _ in range(2):
        looks.controller.wake(key(2))
        looks.controller.wake(key(1))
        looks.controller.work()
    assert looks.seen == [key(2), key(1), key(1), key(2)]
