"""Memory that is handed out in another order, for the sandbox that results are compared with.

Where an object lies decides its ``id``, its ``hash`` unless it has its own, and so the order of sets of such objects. The
system moves whole pages only, so that two processes which did the same agree on that order, and one with another past
does not. After this, objects of a zygote's sessions lie elsewhere within their pages than in the sandbox of record.
"""

import random
from typing import Any

STEP, LARGEST = 16, 512
"""Sizes of Python's small blocks in bytes."""
KEPT = 8
"""Of so many blocks one is kept, or a page of free ones would be tidied."""
_kept: list[Any] = []


def _block(size: int) -> Any:
    """Return an object that takes a block of this size."""
    if size == STEP:
        return object()
    if size == 2 * STEP:
        return complex(size)
    return bytes(size - b"".__sizeof__())


def scatter(count: int) -> None:
    """Leave so many free blocks of each size behind, in no order; 0 does nothing."""
    order = random.Random(count)
    for size in range(STEP, LARGEST + 1, STEP):
        blocks = [_block(size) for _ in range(count)]
        _kept.extend(blocks[::KEPT])
        del blocks[::KEPT]
        order.shuffle(blocks)
        while blocks:
            blocks.pop()
