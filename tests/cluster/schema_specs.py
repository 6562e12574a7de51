"""Random specs of the five kinds, made from the models' JSON Schema, and random damage to them.

Everything comes from one ``random.Random``, whose seed hypothesis chooses and prints: drawing each value through hypothesis takes a
hundred times as long.
"""

import copy
import random
import re
import string
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from astra_jobs.api.artifact import Kind
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.api.v1alpha1.corpus import CorpusSource
from astra_operator.crdgen.rules import RULES
from astra_operator.frozen import spec_model

Path = tuple[str | int, ...]
MORE_THAN_ANY_LIST = 1001
# Names, quantities and paths; every pattern of the models is met by some of them and not by others.
WORDS = (
    *("a", "b", "zone", "team-a", "team.a", "a-", "-a", "A", "a_b", "x" * 52, "x" * 53, "x" * 63, "x" * 64, "x" * 253, "x" * 254),
    *(
        "example.com/pool",
        "k8s.io/a_B.c",
        "example.com/",
        "/a",
        "/data/store",
        "/data/store/",
        "/astra",
        "/astra/in",
        "/astra2",
        "/a/../b",
        "/",
    ),
    *("0", "1", "500m", "0.5", "2Gi", "0.1Gi", "4G", "64k", "1e3", "-1", "2gi", "9" * 12 + "Ti", "1m", "1.5Ki", "99999999999999999999"),
    *("+1", ".5", "1.", ".", "0.5m", "1_000", "1T", "2T", "1e", "1E", "1E3", "2e+9", "1e-3", "5n", "1Mi", "1M", "00.7G", "1P", "1 "),
    *("0x1", "12e7", "1e0004", "3e-12", "0.0001T", "0.000001Ti", "9e5", "-0", "+", "1024Mi", "1000000", "999999m", "1e99"),
    *(
        "HF_TOKEN",
        "RANK",
        "ASTRA_X",
        "PET_X",
        "MY_RANK",
        "_x",
        "9x",
        "token.txt",
        "..",
        ".a",
        "key-1",
        "jobs:1",
        "reg.example:5000/a/b@sha256:0",
    ),
    *("API_TOKEN=abc", "--token", "--token=$TOKEN", "https://a:b@c/d", "sk-abc123", "Bearer abc", "https://a/b?key=c", "api-key: x"),
    *("a b", "a\nb", "a\n", "\0", "é", "", " ", "astra.dev/operator", "example.com/other", "sha256:"),
)
WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 2.0, 1.5, 0.9, 5e-6, 1e3, 1e30, -1e-12, 2**53, 2**53 + 1, 2**63, -(2**63), 10**25),
    *(999999, 10**6, 10**15, 2e9),
    *("", "x", "5e-6", "true", "1", "x" * 300, "é" * 201, "A b", "Transformers", "/astra", "\0"),
    *([], [None], [1], [[]], {}, {"a": None}, {"name": "x"}),
)


def valid_spec(kind: Kind, rng: random.Random) -> dict[str, Any]:
    """A spec that the models take: any field that may be left out is there or not, values from the whole of their range."""
    schema = spec_model(kind).model_json_schema(by_alias=True)
    return mended(kind, _Maker(rng, schema.get("$defs", {}), rng.choice((0.1, 0.4, 0.9))).make(schema))


def body_of(kind: Kind, spec: Any) -> dict[str, Any]:
    """A resource around a spec."""
    return {"apiVersion": "astra.dev/v1alpha1", "kind": kind, "metadata": {"name": "random"}, "spec": spec}


def mended(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    """Take out of a spec what breaks a rule between fields, until none is broken."""
    spec = copy.deepcopy(spec)
    for _ in range(50):
        try:
            model(kind).model_validate(body_of(kind, spec))
            return spec
        except ValidationError as error:
            _mend(spec, max(error.errors(), key=lambda item: len(item["loc"])))
    raise AssertionError(f"cannot be mended: {spec}")


def _mend(spec: dict[str, Any], broken: Any) -> None:
    """Take one broken rule away: a doubled item, one source of two, what the rule reads, or the smallest part around it."""
    path = tuple(broken["loc"][1:])
    here = at(spec, path)
    (rule,) = {rule.message: rule for rule in RULES if broken["msg"].endswith(rule.message)}.values()
    read = {name.split(".")[0] for name in re.findall(r"{([\w.]+)}", rule.cel)} & set(here)
    if rule.list_keys or rule.field == "volumes":
        del here[rule.list_keys[0] if rule.list_keys else "volumes"][1:]
    elif rule.model is CorpusSource:
        here.pop("mcp", None)
        here.setdefault("procedural", {"servers": 1})
    elif read:
        for name in read:
            del here[name]
    else:
        del at(spec, path[:-1])[path[-1]]


def model(kind: Kind) -> type[BaseModel]:
    """The model of a kind's resource."""
    return MODELS[kind]


def at(value: Any, path: Path) -> Any:
    """The part of a value that a path leads to."""
    for part in path:
        value = value[part]
    return value


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path into a value, the empty one first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def damaged(spec: dict[str, Any], rng: random.Random) -> Any:
    """A spec with one change, which may make it invalid or not."""
    spec = copy.deepcopy(spec)
    path = rng.choice(list(paths(spec)))
    here = at(spec, path)
    change = rng.choice(("wrong", "wrong", "word", "near", "drop", "unknown", "many"))
    if change == "unknown" and isinstance(here, dict):
        here[rng.choice(("unknown", "seed", "spec", "name", "apiVersion", "max_turns"))] = rng.choice(WRONG)
    elif change == "many" and isinstance(here, list) and here:
        here *= rng.choice((2, 7, 33, MORE_THAN_ANY_LIST))
    elif not path:
        return rng.choice((spec, {}, {"seed": 1}, [], "x"))
    elif change == "drop":
        del at(spec, path[:-1])[path[-1]]
    elif change == "near" and isinstance(here, int | float) and not isinstance(here, bool):
        at(spec, path[:-1])[path[-1]] = rng.choice((here - 1, here + 1, -here, here * 2, here / 2, float(here)))
    else:
        at(spec, path[:-1])[path[-1]] = rng.choice(WORDS if change == "word" else WRONG)
    return spec


class _Maker:
    """Makes a value of a JSON Schema; ``share`` of the optional fields are set."""

    def __init__(self, rng: random.Random, defs: dict[str, Any], share: float) -> None:
        self.rng, self.defs, self.share = rng, defs, share

    def make(self, node: dict[str, Any]) -> Any:
        if "anyOf" in node:
            (node,) = [item for item in node["anyOf"] if item.get("type") != "null"]
        if "oneOf" in node:
            node = self.rng.choice(node["oneOf"])
        if "$ref" in node:
            node = self.defs[node["$ref"].rsplit("/", 1)[1]]
        if "enum" in node or "const" in node:
            return self.rng.choice(node.get("enum") or [node["const"]])
        return getattr(self, node["type"])(node)

    def object(self, node: dict[str, Any]) -> dict[str, Any]:
        if "properties" not in node:
            ((pattern, values),) = node["patternProperties"].items()
            keys = {"pattern": pattern, **node.get("propertyNames", {})}
            return {self.string(keys): self.make(values) for _ in range(self.rng.randrange(4))}
        chosen = [name for name in node["properties"] if name in node.get("required", ()) or self.rng.random() < self.share]
        return {name: self.make(node["properties"][name]) for name in chosen}

    def array(self, node: dict[str, Any]) -> list[Any]:
        least = node.get("minItems", 0)
        return [self.make(node["items"]) for _ in range(self.rng.randint(least, max(least, min(node["maxItems"], 3))))]

    def string(self, node: dict[str, Any]) -> str:
        longest = node["maxLength"]
        if "pattern" in node:
            return self.rng.choice([word for word in WORDS if len(word) <= longest and matches(node["pattern"], word)])
        if "not" in node:
            return self.rng.choice([word for word in WORDS if len(word) <= longest and not re.search(node["not"]["pattern"], word)])
        some = self.rng.choice((string.printable, "é😀a\u2028", "\0\x1f\x7f\ufeff"))
        return "".join(self.rng.choice(some) for _ in range(self.rng.choice((0, 1, 20, longest))))

    def integer(self, node: dict[str, Any]) -> int:
        step = node.get("multipleOf", 1)
        low, high = -(-node["minimum"] // step), node["maximum"] // step
        return self.rng.choice((low, high, self.rng.randint(low, high), self.rng.randint(low, min(high, low + 9)))) * step

    def number(self, node: dict[str, Any]) -> float:
        low, high = node.get("exclusiveMinimum", node.get("minimum")), node.get("exclusiveMaximum", node.get("maximum"))
        near = low + (high - low) * 10 ** -self.rng.uniform(1, 12)
        ends = [low] * ("minimum" in node) + [high] * ("maximum" in node)
        return float(self.rng.choice([self.rng.uniform(near, high - near / 2), near, *ends]))

    def boolean(self, _: dict[str, Any]) -> bool:
        return self.rng.random() < 0.5


def matches(pattern: str, text: str) -> bool:
    """Tell if a text meets a pattern as the API server reads it: ``$`` is the end, not before a last line break."""
    return re.fullmatch(pattern.removesuffix("$"), text) is not None
