"""What cannot be made to repeat is found: results that hang on where objects lie differ between the two variants."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from astra_jobs.sandbox.pool import VARIANTS, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import once

CLASSES = """
class Plain:
    def __init__(self, n):
        self.n = n
class Slotted:
    __slots__ = ("n",)
    def __init__(self, n):
        self.n = n
def f():
    return {}
"""
TELLING = {
    "a number of an object": "id(Plain(1))",
    "the text of an object": "repr(Plain(1))",
    "the text of a method": "str([Plain(1).__init__])",
    "the hash of an object": "hash(Plain(1))",
    "an order by number": "[one.n for one in sorted([Slotted(n) for n in range(12)], key=id)]",
    "a set of objects": "[one.n for one in {Plain(n) for n in range(12)}]",
    "a set of smaller objects": "[one.n for one in {Slotted(n) for n in range(12)}]",
    "a small set": "[one.n for one in {Slotted(n) for n in range(6)}]",
    "a set of functions": "[one() for one in {(lambda n=n: n) for n in range(12)}]",
    "the keys that two sets share": "[one.n for one in (lambda all: set(all[:9]) & set(all[3:]))([Slotted(n) for n in range(12)])]",
}
REPEATING = {
    "an order that is asked for": "sorted(one.n for one in {Plain(n) for n in range(12)})",
    "the keys of a dict": "[one.n for one in dict.fromkeys(Slotted(n) for n in range(12))]",
    "users": "(lambda os: [os.getuid(), os.getresgid(), os.uname().nodename])(__import__('os'))",
}


async def told(ask: str, variants: Sequence[dict[str, Any]]) -> list[str]:
    found = []
    for settings in variants:
        async with process_sandbox(SandboxLimits(), prove=False, **settings) as sandbox:
            results = [await once(sandbox, CLASSES.format(ask)) for _ in range(2)]
            assert {result.outcome for result in results} == {"ok"}
            found.append(results[0].text)
    return found


BOTH = [variant._asdict() for variant in VARIANTS]
SCATTERED = [VARIANTS[0]._asdict(), VARIANTS[0]._asdict() | {"scatter": VARIANTS[1].scatter}]


@pytest.mark.parametrize("ask", TELLING.values(), ids=TELLING.keys())
def test_what_hangs_on_addresses_differs_between_the_variants(ask: str) -> None:
    one, other = asyncio.run(told(ask, BOTH))
    assert one != other


@pytest.mark.parametrize("ask", REPEATING.values(), ids=REPEATING.keys())
def test_what_does_not_is_the_same(ask: str) -> None:
    one, other = asyncio.run(told(ask, BOTH))
    assert one == other


def test_it_is_the_scattering_that_shows_the_order_of_small_objects() -> None:
    """Two sandboxes that differ in nothing else; where neither scatters, they agree by chance, as two pods would for a while."""
    ask = TELLING["a set of smaller objects"]
    one, other = asyncio.run(told(ask, SCATTERED))
    assert one != other
