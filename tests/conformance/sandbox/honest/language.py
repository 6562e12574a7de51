"""What the language itself offers: matching, closures, decorators, generators, coroutines, state between calls, recursion."""

TOOLS: dict[str, str] = {}

TOOLS["main_guard"] = '''
"""A module's own words."""

import sys

__all__ = ["main_guard"]
__version__ = "1.2"


def main_guard():
    return [__name__, __doc__, __version__, __all__, main_guard.__module__, main_guard.__qualname__]


if __name__ == "__main__":
    import argparse

    print(main_guard())
'''
TOOLS["matching"] = """
from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


def kind(value):
    match value:
        case Point(x=0, y=0):
            return "origin"
        case Point(x, y) if x == y:
            return f"diagonal {x}"
        case [first, *rest]:
            return [first, len(rest)]
        case {"op": "add", **rest}:
            return rest
        case str() | bytes():
            return "text"
        case int(n) if (m := n * 2) > 10:
            return m
        case None:
            return None
        case _:
            return "other"


def matching():
    return [kind(v) for v in (Point(0, 0), Point(2, 2), [1, 2, 3], {"op": "add", "a": 1}, "x", 7, None, 1.5)]
"""
TOOLS["closures"] = '''
import functools


def counter():
    n = 0

    def step(by=1):
        nonlocal n
        n += by
        return n

    return step


STEP = counter()


def traced(prefix):
    def outer(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return f"{prefix}{function(*args, **kwargs)}"

        return inner

    return outer


@traced("> ")
def add(a, /, b, *rest, c=0, **more):
    """Add."""
    return a + b + sum(rest) + c + sum(more.values())


def closures():
    return [
        STEP(),
        STEP(by=2),
        add(1, 2, 3, c=4, d=5),
        add.__name__,
        add.__doc__,
        add.__wrapped__.__name__,
        [f() for f in [lambda i=i: i * i for i in range(3)]],
    ]
'''
TOOLS["caches"] = """
import functools, operator, itertools


@functools.lru_cache(maxsize=2)
def square(x):
    return x * x


@functools.cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@functools.singledispatch
def show(x):
    return f"other {x}"


@show.register
def _(x: int | bool) -> str:
    return f"int {x}"


@show.register(list)
def _(x):
    return f"list {len(x)}"


class Shelf:
    @functools.singledispatchmethod
    def put(self, x):
        return "?"

    @put.register
    def _(self, x: str):
        return x.upper()


def caches():
    [square(i) for i in (1, 2, 1, 3)]
    return [
        str(square.cache_info()),
        fib(90),
        show(1),
        show([1]),
        show("a"),
        Shelf().put("a"),
        functools.reduce(operator.or_, [1, 2, 4]),
        list(itertools.accumulate([1, 2, 3], operator.mul)),
        functools.partial(pow, 2)(5),
        [list(g) for _, g in itertools.groupby("aabb")],
        sorted([3, 1, 2], key=functools.cmp_to_key(lambda a, b: b - a)),
        list(itertools.pairwise("abc")),
        operator.itemgetter("a", "b")({"a": 1, "b": 2}),
    ]
"""
TOOLS["generators"] = """
def walk(tree):
    for name, below in tree.items():
        got = yield name
        if got:
            yield got
        yield from walk(below)


def generators():
    it = walk({"a": {"b": {}}, "c": {}})
    out = [next(it), it.send("x")]
    it2 = (n * n for n in range(5) if n % 2)

    def broken():
        try:
            yield 1
        finally:
            out.append("closed")

    g = broken()
    next(g)
    g.close()
    return [
        out,
        list(it),
        list(it2),
        dict(zip("ab", range(2))),
        [*range(3), *"xy"],
        {**{"a": 1}, "b": 2},
        max((len(w), w) for w in "a bb".split()),
    ]
"""
TOOLS["state_over_calls"] = """
import random, time

CART, LOG = {}, []
TOTAL = 0


def state_over_calls(items: list = [], seen: dict = {}):
    global TOTAL
    TOTAL += 1
    items.append(TOTAL)
    seen[TOTAL] = len(items)
    CART.setdefault("n", []).append(TOTAL)
    return {"total": TOTAL, "items": items, "seen": seen, "cart": CART}
"""
TOOLS["tracebacks"] = """
import traceback, sys, logging, io, warnings


def inner(x):
    return {"a": 1}[x]


def tracebacks():
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    log = logging.getLogger(__name__)
    log.addHandler(handler)
    log.setLevel("INFO")
    log.propagate = False
    try:
        inner("b")
    except KeyError as error:
        log.exception("failed")
        lines = [line.split(", in ")[-1] for line in traceback.format_exc().splitlines() if "File" in line]
        last = traceback.format_exception_only(error)[-1].strip()
        code = [line.strip() for line in out.getvalue().splitlines() if line.startswith("    ")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning)
    group = ExceptionGroup("g", [ValueError(1), TypeError("t")])
    try:
        raise group
    except* ValueError as eg:
        parts = [repr(e) for e in eg.exceptions]
    except* TypeError:
        pass
    e = ValueError("x")
    e.add_note("n")
    return [
        lines,
        last,
        code,
        str(caught[0].message),
        parts,
        e.__notes__,
        [r.strip() for r in traceback.format_exception_only(e)],
    ]
"""
TOOLS["recursion_depth"] = """
import sys


def down(n):
    try:
        return down(n + 1)
    except RecursionError:
        return n


def recursion_depth():
    def deep(n):
        return 0 if n == 0 else 1 + deep(n - 1)

    try:
        deep(1200)
        said = "deep"
    except RecursionError as error:
        said = str(error)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(3000)
    deeper = deep(2000)
    sys.setrecursionlimit(before)
    return [deep(950), said, deeper, before, down(1) > 980]
"""
TOOLS["coroutines"] = """
import asyncio, time
from contextlib import asynccontextmanager


@asynccontextmanager
async def session():
    yield "s"


async def fetch(n, delay):
    await asyncio.sleep(delay)
    return n


async def ticks(count):
    for n in range(count):
        await asyncio.sleep(0)
        yield n


async def coroutines():
    started = asyncio.get_running_loop().time()
    results = await asyncio.gather(*(fetch(n, 3 - n) for n in range(3)))
    queue = asyncio.Queue()

    async def producer():
        for n in range(3):
            await queue.put(n)

    task = asyncio.create_task(producer())
    got = [await queue.get() for _ in range(3)]
    await task
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.5)
    except asyncio.TimeoutError:
        got.append("timeout")
    async with session() as s, asyncio.timeout(5), asyncio.TaskGroup() as group:
        a, b = group.create_task(fetch("a", 0.1)), group.create_task(fetch("b", 0.2))
    lock, gate = asyncio.Lock(), asyncio.Semaphore(2)
    async with lock, gate:
        pass
    done, pending = await asyncio.wait(
        {asyncio.ensure_future(fetch(1, 9)), asyncio.ensure_future(fetch(2, 0.1))}, timeout=1
    )
    for one in pending:
        one.cancel()
    first = [await r for r in asyncio.as_completed([fetch("slow", 0.3), fetch("fast", 0.1)])]
    return [
        results,
        got,
        [n async for n in ticks(3)],
        a.result() + b.result(),
        len(done),
        len(pending),
        first,
        asyncio.get_running_loop().time() - started > 4,
    ]
"""
TOOLS["run_inside"] = """
import asyncio


class Client:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *a):
        return False

    def __aiter__(self):
        self.n = 0
        return self

    async def __anext__(self):
        self.n += 1
        if self.n > 2:
            raise StopAsyncIteration
        await asyncio.sleep(1)
        return self.n


async def work():
    async with Client() as client:
        return [n async for n in client]


def run_inside():
    loop = asyncio.new_event_loop()
    try:
        other = loop.run_until_complete(work())
    finally:
        loop.close()
    return [asyncio.run(work()), other, asyncio.iscoroutinefunction(work)]
"""
TOOLS["introspection"] = '''
import inspect, typing


def sample(a: int, *rest: str, b: "float" = 2.5, **more: dict[str, int]) -> list[int] | None:
    """Say something.

    At length.
    """


class Thing:
    """A thing."""

    x: int = 1

    def method(self, y):
        return y


def introspection():
    signature = inspect.signature(sample)
    return [
        str(signature),
        {k: str(p.kind) for k, p in signature.parameters.items()},
        inspect.getdoc(sample),
        inspect.getsource(Thing.method).strip(),
        str(typing.get_type_hints(sample)),
        sample.__annotations__["b"],
        Thing.__annotations__["x"].__name__,
        inspect.isclass(Thing),
        [n for n, _ in inspect.getmembers(Thing, inspect.isfunction)],
        str(signature.bind(1, "x", b=2)),
        sample.__kwdefaults__,
        type(sample).__name__,
        inspect.getsource(sample).splitlines()[0],
        str(inspect.signature(Thing)),
    ]
'''
TOOLS["arguments_named_like_builtins"] = """
def helper(open: float, close: float, input: str = "x", dir: str = "up", vars: dict | None = None, help: bool = False):
    return [open, close, input, dir, vars, help]


def compile_report(exit=1):
    return exit


def arguments_named_like_builtins():
    type = "t"
    id = 3
    list_ = [1]
    hash = "h"
    format = "{:>4}"
    filter = min(3, 2)
    return [helper(1.5, 2), type, id, hash, format.format(7), compile_report()]
"""
TOOLS["text_and_bytes"] = """
def text_and_bytes():
    s = "Straße, naïve ☃ 日本"
    return [
        s.upper(),
        s.encode("utf-8").hex(),
        s.encode("utf-16-le").hex(),
        "é".encode("latin-1").hex(),
        "€".encode("cp1252").hex(),
        "日".encode("shift_jis").hex(),
        "ж".encode("koi8-r").hex(),
        b"\\xd6".decode("iso8859_5"),
        "a".encode("rot13") if False else "",
        s.casefold(),
        "%05.2f|%-5s|%x" % (3.14159, "ab", 255),
        f"{1234567.891:,.2f} {0.25:.1%} {'x':^5} {42:#b}",
        "bücher.de".encode("idna").decode(),
        "x".encode("ascii", "replace").decode(),
        "\\N{SNOWMAN}",
        int("ff", 16),
        round(2.675, 2),
        7 // -2,
        -7 % 3,
        divmod(7, 2),
        0.1 + 0.2,
        1e100,
        10**30,
    ]
"""

TOOLS["standard_streams"] = """
import sys


def standard_streams():
    print("x", file=sys.stderr, flush=True)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.buffer.write(b"bytes")
    sys.stdout.writelines(["a", "b"])
    return [sys.stdin.read(), sys.stdin.readline(), list(sys.stdin), sys.stdin.isatty(), sys.stdout.writable(), sys.stdout.closed]
"""
