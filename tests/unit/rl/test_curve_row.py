"""What the curve tells of a step must not depend on how soon tools answered."""

from dataclasses import replace

from astra_jobs.rl.loop import StepLog, curve_row
from astra_jobs.rl.trainer import UpdateStats

STATS = UpdateStats(loss=0.1, gradient_norm=1.0, policy_tokens=7, clipped=0.0, entropy_estimate=0.4, engine_gap=0.0)
# Of one training whose tools ran in its own process and in a pool: the same episodes, in other batches of the generation.
IN_PROCESS, IN_POOL = 1.713786101612404e-07, 1.8606180844452226e-07


def row(gap: float) -> bytes:
    return curve_row(1, StepLog(), replace(STATS, engine_gap=gap), 0, 0).model_dump_json().encode()


def test_the_noise_of_batches_is_not_in_the_engine_gap() -> None:
    assert row(IN_PROCESS) == row(IN_POOL)


def test_a_gap_that_says_something_is() -> None:
    assert row(0.00123) != row(0.00124)
    assert b'"engineGap":0.00123' in row(0.00123) or b'"engine_gap":0.00123' in row(0.00123)
