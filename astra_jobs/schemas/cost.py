"""What judging a value by a schema may cost, counted before it is done.

A *step* is one schema judging one value, or one comparison in it: some 50 ns of the library. Schemas that judge the same
value (``allOf``, ``$ref`` …) multiply without a byte of the value, so their number for one value is bounded when the
schema is read, and references that lead back without going into the value are refused. Schemas that multiply with each
level of the value bound the value's depth. What a value then costs is at most its parts times the steps of their depth;
a bound on that keeps the event loop going, and is the same on every machine, as a clock would not be.
"""

from collections import Counter
from typing import Any, NamedTuple

from astra_jobs.schemas.core import Core
from astra_jobs.schemas.dialects import IN_PLACE, IN_PLACE_LISTS, IN_PLACE_MAPS, LISTS, MAPS, SINGLE
from astra_jobs.schemas.errors import SchemaRefused, pointer
from astra_jobs.schemas.patterns import backtracks

PER_VALUE = 20_000
"""Most steps for one value: about a millisecond."""
CHAIN = 100
"""Most references and compositions that follow each other for one value."""
LEVELS = 100
"""Levels of a value that are counted one by one."""
LEAST_LEVELS = 4
"""A schema that cannot be judged to this depth is refused."""
SIMPLE = 400
"""Most steps of a schema that need not be counted by level."""
WORK = 500_000
"""Most entries that counting one schema looks at."""
BACKTRACKING = 2_500
"""Steps of one match that goes back; see ``patterns.BACKTRACKS``."""


_NOT_SIMPLE = frozenset({"$ref", "unevaluatedProperties", "unevaluatedItems"})
_INTO = SINGLE - IN_PLACE | {"properties", "patternProperties", "prefixItems"}


class Weights(NamedTuple):
    """What one value costs: steps, steps for 4 of its characters, comparisons of all within it, matches that go back."""

    steps: int = 0
    characters: int = 0
    deep: int = 0
    backtracks: int = 0

    def plus(self, other: "Weights", times: int = 1) -> "Weights":
        """Add another so many times."""
        return Weights(
            self.steps + times * other.steps,
            self.characters + times * other.characters,
            self.deep + times * other.deep,
            self.backtracks + times * other.backtracks,
        )

    def most(self, other: "Weights") -> "Weights":
        """Return the greater of each."""
        return Weights(*map(max, self, other))


class Cost(NamedTuple):
    """The cost of a schema by depth of the value; ``deepest`` is the last level that may be judged, None for any."""

    levels: list[Weights]
    deepest: int | None
    gathers: bool
    """Whether the library would gather the faults of alternatives (``anyOf``, ``oneOf``) before it reports one."""

    def at(self, depth: int) -> Weights:
        """Return what a value at a depth costs; the root is at 0."""
        return self.levels[min(depth, len(self.levels) - 1)]

    @property
    def most(self) -> Weights:
        """The greatest of each weight over all levels."""
        found = Weights()
        for level in self.levels:
            found = found.most(level)
        return found


def simple_cost_of(core: Core) -> Weights | None:
    """Return what any value costs at most by a small schema without references; None for others, which must be counted."""
    total = Weights()
    waiting = [core.root]
    while waiting:
        node = waiting.pop()
        total = total.plus(weight_of(node))
        if not isinstance(node, dict):
            continue
        if total.steps > SIMPLE or not _NOT_SIMPLE.isdisjoint(node):
            return None
        for keyword in MAPS & node.keys():
            waiting += [inner for inner in node[keyword].values() if not isinstance(inner, list)]
            total = total.plus(Weights(characters=1, backtracks=1), len(node[keyword]) * (keyword == "patternProperties"))
        for keyword in (LISTS | SINGLE) & node.keys():
            waiting += node[keyword] if isinstance(node[keyword], list) else [node[keyword]]
    return total


def cost_of(core: Core) -> Cost:
    """Return what a schema costs; SchemaRefused when one value, or a value of few levels, may cost too much."""
    return _Count(core).cost()


class _Count:
    def __init__(self, core: Core) -> None:
        self.core = core
        self.own: dict[int, Weights] = {}
        self.keys: dict[str, Any] = {}
        self.work = 0
        self.together: dict[int, Counter[int]] = {}
        self.nodes: dict[int, Any] = {}

    def cost(self) -> Cost:
        """Count level by level until nothing changes, the value may be no deeper, or the cost is beyond the bound."""
        root = self.core.root
        if not isinstance(root, dict):
            return Cost([Weights(1)], None, False)
        kids = self._kids(root)
        here = {entry: self._weight(entry) for entry in kids}
        inner = here
        levels, deepest = [here[id(root)]], None
        for depth in range(1, LEVELS + 1):
            after = {entry: self._below(options, inner) for entry, options in kids.items()}
            self._spend(sum(len(option) for options in kids.values() for option in options))
            if after[id(root)].steps > PER_VALUE:
                if depth <= LEAST_LEVELS:
                    raise SchemaRefused(
                        "SchemaTooCostly",
                        f"{after[id(root)].steps} evaluations for a value {depth} levels deep; at most {PER_VALUE}: let fewer alternatives "
                        "describe the same key",
                    )
                deepest = depth - 1
                break
            levels.append(after[id(root)])
            if after == inner:
                break
            inner = after
        else:
            deepest = LEVELS
        gathers = any(isinstance(node, dict) and ("anyOf" in node or "oneOf" in node) for node in self.nodes.values())
        return Cost(levels, deepest, gathers)

    def _spend(self, amount: int) -> None:
        self.work += amount
        if self.work > WORK:
            raise SchemaRefused("SchemaTooCostly", "the parts of the schema combine in too many ways; simplify it")

    def _kids(self, root: Any) -> dict[int, list[Counter[int]]]:
        """Return for each schema that judges a value of its own: for each kind of key, the schemas of what is there."""
        found: dict[int, list[Counter[int]]] = {}
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if id(node) in found:
                continue
            together = self._together(node, 0)
            if (weight := self._weight(id(node))).steps > PER_VALUE:
                raise SchemaRefused("SchemaTooCostly", f"{weight.steps} evaluations of one value; at most {PER_VALUE}: refer less often")
            found[id(node)] = options = self._options([(self.nodes[inner], times) for inner, times in together.items()])
            self._spend(1 + sum(len(option) for option in options))
            waiting += [self.nodes[inner] for option in options for inner in option if inner not in found]
        return found

    def _weight(self, entry: int) -> Weights:
        total = Weights()
        for inner, times in self.together[entry].items():
            total = total.plus(self.own[inner], times)
        return total

    @staticmethod
    def _below(options: list[Counter[int]], inner: dict[int, Weights]) -> Weights:
        worst = Weights()
        for option in options:
            total = Weights()
            for entry, times in option.items():
                total = total.plus(inner[entry], times)
            worst = worst.most(total)
        return worst

    def _together(self, node: Any, chain: int) -> Counter[int]:
        """Return how often each schema judges the value that ``node`` judges."""
        known = self.together.get(id(node))
        if known is not None:
            if not known:
                raise SchemaRefused("ReferenceEndless", f"$ref leads back to itself: {self._shown(node)} refers to what refers to it")
            return known
        if chain > CHAIN:
            raise SchemaRefused("SchemaTooCostly", f"more than {CHAIN} references follow each other; shorten the chain")
        self.nodes[id(node)] = node
        self.together[id(node)] = Counter()
        if id(node) not in self.own:
            self.own[id(node)] = weight_of(node)
        total = Counter({id(node): 1})
        again = 2 if isinstance(node, dict) and {"unevaluatedProperties", "unevaluatedItems"} & set(node) else 1
        for inner in self._in_place(node):
            below = self._together(inner, chain + 1)
            self._spend(len(below))
            for entry, times in below.items():
                total[entry] += again * times
            if total.total() > PER_VALUE:
                raise SchemaRefused("SchemaTooCostly", f"over {PER_VALUE} evaluations of one value; refer less often")
        self.together[id(node)] = total
        return total

    def _in_place(self, node: Any) -> list[Any]:
        if not isinstance(node, dict):
            return []
        found = [inner for keyword in IN_PLACE_LISTS for inner in node.get(keyword, ())]
        found += [node[keyword] for keyword in IN_PLACE if keyword in node]
        found += [inner for keyword in IN_PLACE_MAPS for inner in node.get(keyword, {}).values() if not isinstance(inner, list)]
        return found + ([self.core.definitions[node["$ref"].rpartition("/")[2]]] if "$ref" in node else [])

    def _options(self, together: list[tuple[Any, int]]) -> list[Counter[int]]:
        """Return for each kind of key or index which schemas judge what is there, and how often; duplicates left out."""
        schemas = [(node, times) for node, times in together if isinstance(node, dict) and not _INTO.isdisjoint(node)]
        keys = {name for node, _ in schemas for name in node.get("properties", ())}
        indexes = range(max((len(_first(node)) for node, _ in schemas), default=0))
        options: dict[frozenset[tuple[int, int]], Counter[int]] = {}
        for key in (*keys, None, *indexes, -1) if schemas else ():
            option: Counter[int] = Counter()
            for node, times in schemas:
                for inner in _at_index(node, key) if isinstance(key, int) else [*_at_key(node, key), *self._key_patterns(node)]:
                    self.nodes.setdefault(id(inner), inner)
                    option[id(inner)] += times
            if option:
                options.setdefault(frozenset(option.items()), option)
            self._spend(len(schemas))
        return list(options.values())

    def _key_patterns(self, node: dict[str, Any]) -> list[Any]:
        """Return schemas that cost what matching a key by the patterns of a schema costs."""
        return [self.keys.setdefault(pattern, {"pattern": pattern}) for pattern in node.get("patternProperties", ())]

    def _shown(self, node: Any) -> str:
        numbers = [number for number, definition in self.core.definitions.items() if definition is node]
        return pointer(self.core.origins[numbers[0]]) if numbers else "the schema"


def _first(node: dict[str, Any]) -> list[Any]:
    """Return the schemas of the first items, as 2020-12 or as older dialects write them."""
    found = node.get("prefixItems", node.get("items"))
    return found if isinstance(found, list) else []


def _at_key(node: dict[str, Any], key: str | None) -> list[Any]:
    found = [*node.get("patternProperties", {}).values()]
    if key is not None and key in node.get("properties", ()):
        found.append(node["properties"][key])
    elif "additionalProperties" in node:
        found.append(node["additionalProperties"])
    return found + [node[keyword] for keyword in ("unevaluatedProperties", "propertyNames") if keyword in node]


def _at_index(node: dict[str, Any], index: int) -> list[Any]:
    first = _first(node)
    rest = node.get("additionalItems") if isinstance(node.get("items"), list) else node.get("items")
    found = [first[index]] if 0 <= index < len(first) else [] if rest is None else [rest]
    return found + [node[keyword] for keyword in ("contains", "unevaluatedItems") if keyword in node]


def weight_of(node: Any) -> Weights:
    """Return what one schema costs by itself, without those inside it."""
    if not isinstance(node, dict):
        return Weights(1)
    names = [*node.get("required", ()), *node.get("properties", ()), *node.get("dependentRequired", ()), *node.get("dependencies", ())]
    options = [*node.get("enum", ()), node.get("const")]
    texts = all(isinstance(option, str) for option in options[:-1])
    compared = len(options) // 64 + _size(options[-1]) if texts else _size(options)
    pattern = node.get("pattern")
    return Weights(
        steps=1 + len(node) + len(names) + compared,
        characters=sum(keyword in node for keyword in ("pattern", "minLength", "maxLength")),
        deep=int(node.get("uniqueItems") is True),
        backtracks=int(pattern is not None and backtracks(pattern)),
    )


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))
