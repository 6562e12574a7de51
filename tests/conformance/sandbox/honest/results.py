"""Results of every kind that ``json.dumps`` writes, and of those that it refuses."""

TOOLS: dict[str, str] = {}

TOOLS["collections_"] = """
from collections import Counter, defaultdict, OrderedDict, namedtuple, UserDict

Point = namedtuple("Point", "lat lon", defaults=[0])


class Bag(dict):
    def __missing__(self, key):
        return 0


class Rows(list):
    pass


def collections_():
    by = defaultdict(lambda: defaultdict(int))
    by["a"]["x"] += 1
    by["b"]
    ordered = OrderedDict([("a", 1), ("b", 2), ("c", 3)])
    ordered.move_to_end("a")
    return {
        "counts": Counter("hello"),
        "by": by,
        "ordered": ordered,
        "point": Point(1),
        "bag": Bag(a=Point(1, 2)),
        "rows": Rows([Rows([1]), (2,)]),
        "nested": {"t": ((1, 2), [Counter()])},
    }
"""
TOOLS["keys"] = """
class Name(str):
    pass


class Number(int):
    pass


class Ratio(float):
    pass


def keys():
    return [
        {1: "int", 2.5: "float", True: "bool", None: "none", "s": "str"},
        {Name("n"): 1, Number(7): 2, Ratio(0.5): 3, -1: 4, 10**20: 5, 1e100: 6, 0.1: 7},
        {False: 0, 1e22: 1},
        {1: "first", "1": "second"},
    ]
"""
TOOLS["subclasses"] = """
class Name(str):
    def __str__(self):
        return "shown"


class Number(int):
    def __repr__(self):
        return "seven"


class Ratio(float):
    def __repr__(self):
        return "half"


def subclasses():
    return [Name("kept"), Number(7), Ratio(0.5), {"k": Name("v")}, (True, None, -0.0, 1e-300)]
"""
TOOLS["json_text"] = """
import json, datetime, decimal


class Encoder(json.JSONEncoder):
    def default(self, o):
        return {"$": str(o)} if isinstance(o, (datetime.date, decimal.Decimal)) else super().default(o)


def json_text():
    return [
        json.dumps(
            {"d": datetime.date(2024, 1, 2), "m": decimal.Decimal("1.10")}, cls=Encoder, indent=1, sort_keys=True
        ),
        json.loads('{"a": 1}', object_pairs_hook=list),
        json.dumps({1: None}),
        json.dumps("ü", ensure_ascii=False),
    ]
"""
TOOLS["nothing"] = "def nothing(): pass\n"
TOOLS["deep_lists"] = "def deep_lists():\n    value = 'x'\n    for _ in range(30): value = [value]\n    return value\n"

REFUSED: dict[str, tuple[str, str]] = {
    "a set": ("{1, 2}", "sorted"),
    "a frozenset": ("{'a': frozenset('a')}", "sorted"),
    "a datetime": ("[{'at': datetime.datetime(2024, 1, 1)}]", "isoformat"),
    "a date": ("datetime.date(2024, 1, 1)", "isoformat"),
    "a time": ("datetime.time(1)", "isoformat"),
    "a duration": ("datetime.timedelta(1)", "total_seconds"),
    "a decimal": ("{'price': decimal.Decimal('1.5')}", "float"),
    "a fraction": ("fractions.Fraction(1, 3)", "float"),
    "bytes": ("b'x'", "decode"),
    "a byte array": ("bytearray(b'x')", "decode"),
    "a complex number": ("1j", "imag"),
    "a uuid": ("uuid.UUID(int=1)", "str"),
    "a path": ("pathlib.Path('x')", "str"),
    "a range": ("range(3)", "list"),
    "a generator": ("(x for x in 'ab')", "list"),
    "a map": ("map(str, [1])", "list"),
    "keys of a dict": ("{'a': 1}.keys()", "list"),
    "a deque": ("collections.deque([1])", "list"),
    "a chain of dicts": ("collections.ChainMap({})", "dict"),
    "a view of a dict": ("types.MappingProxyType({})", "dict"),
    "a namespace": ("types.SimpleNamespace(a=1)", "vars"),
    "an exception": ("ValueError('x')", "str"),
    "a dataclass": ("Data(1)", "asdict"),
    "an enumeration": ("Color.RED", "value"),
    "an object": ("{'a': [object()]}", "dicts"),
    "a class": ("Data", "dicts"),
    "a function": ("len", "dicts"),
    "a key that is a tuple": ("{(1, 2): 3}", "str(key)"),
    "a key that is a date": ("{datetime.date(2024, 1, 1): 3}", "str(key)"),
}
"""What json refuses → expression, and a word of the remedy."""
PREAMBLE = """
import collections, datetime, decimal, enum, fractions, pathlib, types, uuid
from dataclasses import dataclass
@dataclass
class Data:
    x: int
class Color(enum.Enum):
    RED = 1
"""
NOT_FINITE = {
    "nan": "[{'ratio': float('nan')}]",
    "inf": "float('inf')",
    "a key": "{float('inf'): 1}",
    "a subclass": "type('F', (float,), {})('nan')",
}
