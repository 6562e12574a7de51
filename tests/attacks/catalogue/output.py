"""Results that are too long, no JSON, or lie about what they are."""

from tests.attacks.attack import attack
from tests.attacks.proofs import longer, returned
from tests.attacks.walls import ENCODER, OUTPUT, RECURSION

LONG = {"proof": longer(2_000_000), "outcomes": "limit_output", "limits": {"memory_mib": 1024}}
LIES = {
    "why": "json reads the class below as well",
    "proof": lambda event: "forged" in event.last.text or "}" in event.last.text.strip("{}"),
    "outcomes": "ok tool_error",
}
ODD = {"proof": lambda event: event.last.outcome == "ok", "outcomes": "tool_error"}


@attack("output", OUTPUT, **LONG)
def long_text(**a):
    """Return more text than anybody reads."""
    return "x" * (8 << 20)


@attack("output", OUTPUT, **LONG)
def million_keys(**a):
    """Return an object of very many keys."""
    return {f"{number:050}": 0 for number in range(50_000)}


@attack("output", OUTPUT, **LONG)
def million_items(**a):
    """Return a list of very many items."""
    return list(range(500_000))


@attack("output", OUTPUT, **LONG)
def same_list_many_times(**a):
    """Return what is small in memory and huge as text."""
    value = ["x" * 100] * 100
    for _ in range(1):
        value = [value] * 300
    return value


@attack("output", OUTPUT, **LONG)
def escapes_that_grow(**a):
    """Return characters that each become six."""
    return "\x01" * (1 << 20)


@attack(
    "output",
    why="a message is cut before it is sent",
    proof=lambda event: len(event.last.text) > 10_000,
    outcomes="tool_error limit_output",
)
def long_error_message(**a):
    """Fail with a message of megabytes."""
    raise ValueError("x" * (8 << 20))


@attack("output", ENCODER, **ODD)
def not_a_number(**a):
    """Return NaN."""
    return [float("nan")]


@attack("output", ENCODER, **ODD)
def infinity(**a):
    """Return what JSON has no form for."""
    return {"x": [float("-inf")]}


@attack("output", ENCODER, proof=returned(True), outcomes="ok tool_error", calls=2)
def code_that_runs_while_it_is_written(**a):
    """Return a dict whose methods are the tool's, and tell in the next call whether one of them ran after the call."""
    import sys

    seen = sys.__dict__.setdefault("seen_by_writer", [])
    if seen:
        return "ran" in seen

    class Mapping(dict):
        def items(self):
            seen.append("ran")
            return dict.items(self)

    seen.append("returned")
    return Mapping(x=1)


@attack("output", ENCODER, **ODD)
def deep_nesting(**a):
    """Return what is nested deeper than any reader follows."""
    value = []
    for _ in range(300):
        value = [value]
    return value


@attack("output", **LIES)
def text_that_lies(**a):
    """Return a text that is another class."""

    class Text(str):
        __slots__ = ()

        def __str__(self):
            return "}forged"

        __repr__ = __str__

    return Text("plain")


@attack("output", **LIES)
def number_that_lies(**a):
    """Return a number whose text is its own."""

    class Number(int):
        def __repr__(self):
            return '0,"forged":1'

        __str__ = __repr__

    return {"number": Number(7)}


@attack("output", ENCODER, proof=returned({"forged": 1}), outcomes="ok tool_error")
def mapping_that_lies(**a):
    """Return a dict that shows other items than it holds."""

    class Mapping(dict):
        def items(self):
            return [("forged", 1)]

        def keys(self):
            return ["forged"]

        def __len__(self):
            return 1

        def __iter__(self):
            return iter(["forged"])

    return Mapping(honest=1)


@attack("output", **LIES)
def list_that_lies(**a):
    """Return a list that shows other items than it holds."""

    class Items(list):
        def __iter__(self):
            return iter(["forged"])

        def __len__(self):
            return 1

    return Items([1])


@attack("output", **LIES)
def class_that_lies(**a):
    """Return an object that says it is a dict."""

    class Liar(dict):
        @property
        def __class__(self):
            return list

    return Liar(x={"forged": 1}.get("y", 1))


@attack("output", ENCODER, **ODD)
def half_a_character(**a):
    """Return half of a pair of code units, which no encoding holds."""
    return "\ud800"


@attack("output", RECURSION, ENCODER, proof=lambda event: event.last.outcome == "ok", outcomes="tool_error", calls=2)
def huge_integer_text(**a):
    """Lift the limit for the text of integers in one call and return one of 5,000 digits in the next."""
    import sys

    first = not sys.__dict__.get("seen")
    sys.__dict__["seen"] = True
    if first:
        sys.set_int_max_str_digits(0)
        return 0
    return 7**6_000


@attack("output", RECURSION, proof=returned(5000), outcomes="tool_error", calls=2)
def lifted_recursion_limit(**a):
    """Lift the recursion limit in one call and use it in the next."""
    import sys

    first = not sys.__dict__.get("seen")
    sys.__dict__["seen"] = True
    if first:
        sys.setrecursionlimit(100_000)
        return 0

    def down(left):
        return 1 + down(left - 1) if left else 0

    return down(5000)
