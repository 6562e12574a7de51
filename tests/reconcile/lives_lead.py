"""Leads many random lives: a few in every test run, thousands in pieces of a few minutes, whose outcome goes to ``bench/results``.

What a life is stands in ``lives``; what its operator suffers, in the tests.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.bench.machine import machine
from tests.reconcile.lives import Lives

PIECES = 10
RESULTS = Path(__file__).parents[1] / "bench" / "results" / "random-lives.jsonl"


def lead(machine: type[Lives], lives: int, steps: int) -> None:
    """Lead random lives of a machine; the first that fails is made as short as it can be and told."""
    chosen = settings(max_examples=lives, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=chosen)


def lead_and_record(machine: type[Lives], piece: int, lives: int, steps: int) -> None:
    """Lead the lives of one piece, drawn from a seed of its own, and write one line of raw numbers."""
    ends: list[int] = []

    class Counted(machine):  # type: ignore[misc, valid-type]
        def come_to_an_end(self) -> None:
            super().come_to_an_end()
            ends.append(sum(len(player.cluster.launched) for player in self.players))

    with _recorded(machine.__name__, piece, ends, steps):
        lead(seed(piece)(Counted), lives, steps)


@contextmanager
def _recorded(name: str, piece: int, ends: list[int], steps: int) -> Iterator[None]:
    started, line = time.process_time(), machine() | {"lives": name, "piece": piece, "steps": steps, "outcome": "a life ended badly"}
    try:
        yield
        line["outcome"] = "all ended well"
    finally:
        line |= {"led": len(ends), "workloads": sum(ends), "cpuSeconds": round(time.process_time() - started, 1)}
        RESULTS.parent.mkdir(exist_ok=True)
        lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        kept = [old for old in lines if (json.loads(old)["lives"], json.loads(old)["piece"]) != (name, piece)]
        RESULTS.write_text("\n".join([*kept, json.dumps(line)]) + "\n")
