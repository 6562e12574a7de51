"""Dataclasses, enumerations, protocols and other classes."""

TOOLS: dict[str, str] = {}

TOOLS["quoted_types"] = """
from dataclasses import dataclass, field, fields, asdict, astuple, replace


@dataclass
class Node:
    name: str
    next: "Node | None" = None
    tags: "list[str]" = field(default_factory=list)


def quoted_types():
    node = Node("a", Node("b"))
    return [
        asdict(node),
        [f.type if isinstance(f.type, str) else f.type.__name__ for f in fields(node)],
        repr(replace(node, name="c")),
    ]
"""
TOOLS["future_annotations"] = """
from __future__ import annotations
from dataclasses import dataclass, InitVar, field, KW_ONLY
from typing import ClassVar, get_type_hints


@dataclass(slots=True, order=True)
class Price:
    amount: float
    _: KW_ONLY
    currency: str = "EUR"
    rate: InitVar[float] = 1.0
    count: ClassVar[int] = 3
    total: float = field(init=False)

    def __post_init__(self, rate: float) -> None:
        self.total = self.amount * rate


def future_annotations():
    a, b = Price(2, rate=3), Price(1, currency="USD")
    return [repr(a), a > b, Price.__slots__, str(get_type_hints(Price)["rate"]), Price.__match_args__]
"""
TOOLS["future_after_docstring"] = '''#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""A docstring first."""

# and a comment
from __future__ import annotations
import dataclasses


@dataclasses.dataclass(kw_only=True, frozen=True)
class Base:
    id: int

    def __str__(self) -> str:
        return f"#{self.id}"


@dataclasses.dataclass(kw_only=True, frozen=True)
class Child(Base):
    parent: Base | None = None


def future_after_docstring():
    try:
        Child(id=1).id = 2
    except dataclasses.FrozenInstanceError as error:
        said = f"{type(error).__name__}: {error}"
    return [
        __doc__,
        str(Child(id=4, parent=Base(id=1))),
        said,
        hash(Child(id=3)) == hash(Child(id=3)),
        dataclasses.asdict(Child(id=1)),
    ]
'''
TOOLS["make_dataclass"] = """
import dataclasses

Point = dataclasses.make_dataclass("Point", [("x", int), ("y", "int", dataclasses.field(default=2))])


@dataclasses.dataclass(eq=False)
class Store:
    rows: dict[str, Point]

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows.values())

    def __contains__(self, key):
        return key in self.rows

    def __getitem__(self, key):
        return self.rows[key]


def make_dataclass():
    store = Store({"a": Point(1), "b": Point(3, 4)})
    return [
        len(store),
        [p.y for p in store],
        "b" in store,
        dataclasses.astuple(store["a"]),
        dataclasses.is_dataclass(Point),
    ]
"""
TOOLS["object_setattr"] = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Temperature:
    celsius: float
    fahrenheit: float = 0.0

    def __post_init__(self):
        if self.celsius < -273.15:
            raise ValueError(f"{self.celsius} is below absolute zero")
        object.__setattr__(self, "fahrenheit", self.celsius * 9 / 5 + 32)


def object_setattr():
    return {
        "f": Temperature(20).fahrenheit,
        "class": Temperature(1).__class__.__name__,
        "dict": Temperature(1).__dict__,
    }
"""
TOOLS["own_error"] = '''
class ShipError(Exception):
    """Raised for ships."""

    def __init__(self, ship, reason):
        super().__init__(f"{ship}: {reason}")
        self.ship = ship


def own_error():
    try:
        try:
            raise KeyError("A1")
        except KeyError as error:
            raise ShipError("A1", "unknown") from error
    except ShipError as error:
        return [
            str(error),
            repr(error),
            error.ship,
            repr(error.__cause__),
            type(error).__module__,
            ShipError.__doc__,
            str(ShipError),
        ]
'''
TOOLS["enums"] = """
from enum import Enum, IntEnum, Flag, IntFlag, StrEnum, auto, unique


@unique
class Color(Enum):
    RED = 1
    GREEN = auto()

    @classmethod
    def _missing_(cls, value):
        return cls.RED

    @property
    def low(self):
        return self.name.lower()


class Perm(Flag):
    R = auto()
    W = auto()


class Bits(IntFlag):
    A = 1
    B = 2


class Kind(StrEnum):
    SHIP = auto()


class Level(IntEnum):
    LOW = 1


class Mood(str, Enum):
    GOOD = "good"


class Rate(float, Enum):
    HALF = 0.5


def enums():
    return {
        "repr": [
            repr(Color.RED),
            str(Perm.R | Perm.W),
            f"{Bits.A}",
            f"{Mood.GOOD!s}",
            str(Kind.SHIP),
            Color(9).low,
            list(Color.__members__),
        ],
        "values": [Bits.A | Bits.B, Kind.SHIP, Level.LOW, Mood.GOOD, Rate.HALF],
        "keys": {Kind.SHIP: 1, Mood.GOOD: 2, Level.LOW: 3, Rate.HALF: 4, Bits.B: 5},
        "names": [c.name for c in Color],
        "in": Mood("good") is Mood.GOOD,
        "get": Color["GREEN"].value,
    }
"""
TOOLS["typed"] = """
from typing import (
    NamedTuple,
    TypedDict,
    Protocol,
    Generic,
    TypeVar,
    Literal,
    Annotated,
    NewType,
    Optional,
    Union,
    get_type_hints,
    get_args,
)
from typing import runtime_checkable, overload, cast, TYPE_CHECKING, Final, Self, NotRequired, Callable, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
T = TypeVar("T", bound="Shape")
UserId = NewType("UserId", int)
MAX: Final = 3


class Row(NamedTuple):
    id: int
    name: str = "x"

    @property
    def label(self) -> str:
        return f"{self.id}-{self.name}"


class Movie(TypedDict, total=False):
    title: str
    year: NotRequired[int]


@runtime_checkable
class Shape(Protocol):
    def area(self) -> float: ...


class Square:
    def __init__(self, side: float) -> None:
        self.side = side

    def area(self) -> float:
        return self.side**2


class Box(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item

    def get(self) -> T:
        return self.item


@overload
def twice(x: int) -> int: ...
@overload
def twice(x: str) -> str: ...
def twice(x):
    return x * 2


def typed():
    return [
        Row(1),
        Row(2, "y")._asdict(),
        Row(3).label,
        Movie(title="a", year=1),
        isinstance(Square(2), Shape),
        Box[Square](Square(3)).get().area(),
        twice("a"),
        UserId(4),
        get_args(Literal["a", "b"]),
        str(get_type_hints(Box.get)),
        str(Optional[Row]),
        Row._fields,
        str(Callable[[int], Any]),
        Movie.__total__,
        sorted(Movie.__optional_keys__),
        str(Box[Square]),
        cast(int, "1"),
        Row(1) == (1, "x"),
        repr(Row(1)),
    ]
"""
TOOLS["abstract"] = """
from abc import ABC, abstractmethod, ABCMeta
from functools import total_ordering, cached_property


@total_ordering
class Money(metaclass=ABCMeta):
    registry = {}

    def __init_subclass__(cls, code="?", **kw):
        super().__init_subclass__(**kw)
        Money.registry[code] = cls.__name__

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return self.n == other.n

    def __lt__(self, other):
        return self.n < other.n

    def __hash__(self):
        return hash(self.n)

    def __add__(self, other):
        return type(self)(self.n + other.n)

    def __radd__(self, other):
        return self if other == 0 else self + other

    def __bool__(self):
        return self.n != 0

    def __call__(self, x):
        return self.n * x

    def __getattr__(self, name):
        return f"no {name}"

    def __format__(self, spec):
        return f"{self.n:{spec or 'd'}} {self.sign}"

    @property
    @abstractmethod
    def sign(self): ...


class Euro(Money, code="EUR"):
    sign = "E"

    @cached_property
    def slow(self):
        return self.n + 1


def abstract():
    try:
        Money(1)
    except TypeError as error:
        said = str(error)
    return [
        said,
        Money.registry,
        sum([Euro(1), Euro(2)]).n,
        Euro(3) >= Euro(2),
        bool(Euro(0)),
        Euro(4)(2),
        Euro(1).zz,
        f"{Euro(5):03d}",
        Euro(1).slow,
        len({Euro(1), Euro(1)}),
        [k.__name__ for k in type(Euro(1)).mro()] if hasattr(Euro, "mro") else None,
        issubclass(Euro, Money),
    ]
"""
TOOLS["managers"] = """
from contextlib import contextmanager, ExitStack, suppress, redirect_stdout, nullcontext, closing
import io


class Transaction:
    log = []

    def __enter__(self):
        self.log.append("begin")
        return self

    def __exit__(self, kind, error, trace):
        self.log.append("rollback" if kind else "commit")
        return kind is ValueError


@contextmanager
def timer(name):
    try:
        yield name.upper()
    finally:
        Transaction.log.append("done")


def managers():
    with Transaction():
        raise ValueError
    with Transaction(), timer("t") as t, suppress(ZeroDivisionError):
        1 / 0
    out = io.StringIO()
    with redirect_stdout(out), ExitStack() as stack:
        stack.enter_context(nullcontext(1))
        print("hello", end="!")
    return [Transaction.log, t, out.getvalue()]
"""
TOOLS["descriptors"] = """
class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, obj, kind=None):
        return self if obj is None else getattr(obj, self.name, 0)

    def __set__(self, obj, value):
        if value < 0:
            raise ValueError(f"{self.name[1:]} must be positive, not {value}")
        setattr(obj, self.name, value)


class Account:
    __slots__ = ("_balance", "__dict__")
    balance = Positive()

    def __init__(self, balance):
        self.balance = balance

    def __repr__(self):
        return f"{self.__class__.__name__}({self.balance})"

    @staticmethod
    def parse(text):
        return Account(int(text))

    @classmethod
    def empty(cls):
        return cls(0)


def descriptors():
    try:
        Account(-1)
    except ValueError as error:
        said = str(error)
    account = Account.parse("5")
    setattr(account, "note", "n")
    return [
        said,
        repr(Account.empty()),
        vars(account),
        hasattr(account, "nothing"),
        getattr(account, "balance"),
        sorted(n for n in dir(account) if n[0] != "_"),
    ]
"""
