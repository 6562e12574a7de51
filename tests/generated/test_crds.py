"""The generated CRDs: current, structural as an API server demands, and no rule without its CEL twin."""

import functools
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.v1alpha1.status import REASONS
from astra_operator.crdgen.__main__ import main
from astra_operator.crdgen.columns import COLUMNS, value_at
from astra_operator.crdgen.documents import crd, generated, spec_model
from astra_operator.crdgen.names import NAMES
from astra_operator.crdgen.rules import RULES, cel_of
from astra_operator.crdgen.schema import nested_model, operational

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "operational_fields.txt"


def models_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        if nested := nested_model(info.annotation):
            yield from models_of(nested)


SPEC_MODELS = sorted({found for kind in KINDS for found in models_of(spec_model(kind))}, key=lambda model: model.__name__)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield (path, FieldInfo, operational by itself or through a field around it), depth first."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{info.alias or name}"
        mine = operational(info)
        yield path, info, mine
        if nested := nested_model(info.annotation):
            yield from ((inner, found, mine or inside) for inner, found, inside in fields(nested, path + "."))


@functools.cache
def schema_of(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def test_everything_generated_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "crds")]) == 0, capsys.readouterr().err


def test_check_names_what_is_stale_and_what_is_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["write", str(tmp_path)]) == 0
    assert main(["check", str(tmp_path)]) == 0
    (tmp_path / "rlruns.yaml").write_text("x")
    (tmp_path / "more.yaml").write_text("x")
    assert main(["check", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rsplit("/")[-1].split(":")[0] for line in lines] == ["rlruns.yaml", "more.yaml"]


def test_files_are_yaml_of_the_documents() -> None:
    files = generated()
    assert sorted(files) == sorted([*(f"{names.plural}.yaml" for names in NAMES.values()), "README.md"])
    for kind in KINDS:
        assert YAML(typ="safe", pure=True).load(files[f"{NAMES[kind].plural}.yaml"]) == crd(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_structural(kind: Kind) -> None:
    forbidden = {"$ref", "$defs", "default", "anyOf", "oneOf", "allOf", "nullable", "const", "title", "examples"}
    for path, node in nodes(schema_of(kind)):
        if path.endswith((".resources.cpu", ".resources.memory", ".resources.ephemeralStorage")):
            assert node["x-kubernetes-preserve-unknown-fields"] is True, path
            assert "type" not in node, path
            continue
        assert not forbidden & set(node), path
        assert set(node.get("not", {"pattern": ""})) == {"pattern"}, path
        assert not [key for key in node if key.startswith("x-") and not key.startswith("x-kubernetes-")], path
        assert node["type"] in ("object", "array", "string", "integer", "number", "boolean"), path
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert node.get("additionalProperties") is not False, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert isinstance(node.get("exclusiveMinimum", True), bool), path
        assert isinstance(node.get("exclusiveMaximum", True), bool), path
        if node["type"] == "array":
            assert "items" in node, path
        if node["type"] == "object" and path not in (".metadata",):
            assert "properties" in node or "additionalProperties" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_size_of_everything_in_a_spec_is_bounded(kind: Kind) -> None:
    """The API server refuses a CEL rule whose worst case it cannot bound; nobody should write a list without end either."""
    for path, node in nodes(schema_of(kind)["properties"]["spec"]):
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if node.get("type", "string") == "string":
            assert "maxLength" in node or "enum" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_spec_is_described(kind: Kind) -> None:
    for path, info, _ in fields(spec_model(kind)):
        node = schema_of(kind)["properties"]["spec"]
        for part in path.split("."):
            node = node["properties"][part]
            inner = node.get("items", node)
            text, node = node["description"], inner
        assert text.endswith("."), path
        assert ("Operational" in text) == operational(info), path
        extra = info.json_schema_extra
        assert isinstance(extra, dict), path
        unit = extra["x-unit"]
        assert not unit or f"Unit: {unit}" in text, path


def test_operational_fields_are_frozen() -> None:
    """What stays out of the attempt's digest is a promise: a change here makes every finished run of users run again, or never."""
    found = [f"{kind} {path}" for kind in KINDS for path, _, mine in fields(spec_model(kind)) if mine]
    assert GOLDEN.read_text().splitlines() == found


def test_every_field_has_a_use() -> None:
    """No option without effect: each name stands in a manifest, or in a test that is not about schemas."""
    texts = [path.read_text() for path in (ROOT / "manifests").rglob("*.yaml")]
    texts += [path.read_text() for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".yaml") and path != Path(__file__)]
    everything = "\n".join(texts)
    words = set(re.findall(r"\w+", everything))
    unused = []
    for model in SPEC_MODELS:
        if f"{model.__name__}.model_fields" in everything:
            continue  # a test takes all of its fields in turn
        unused += [f"{model.__name__}.{name}" for name, info in model.model_fields.items() if not {name, info.alias or name} & words]
    assert unused == []


# ---- rules between fields


def validators(model: type[BaseModel]) -> set[str]:
    return set(model.__pydantic_decorators__.model_validators)


def test_every_validator_has_its_rule_and_every_rule_its_validator() -> None:
    wanted = {(model.__name__, name) for model in SPEC_MODELS for name in validators(model)}
    assert {(rule.model.__name__, rule.validator) for rule in RULES} == wanted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.model.__name__}{rule.validator}")
def test_rule_rejects_its_example_with_its_message(rule: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        rule.model.model_validate(rule.rejects)
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, {rule.message}"
    assert rule.message in inspect.getsource(rule.model)


def reads(text: str) -> dict[str, Any]:
    """Return path → default of each read with a default in a CEL text."""
    return {path: json.loads(default) for path, default in re.findall(r"\? self\.([\w.]+) : ([^)]+)\)", text)}


def python_of(text: str) -> str:
    """Return a Python expression of a CEL rule, for the few operators that the rules use."""
    text = re.sub(r"\((?:has\([\w.]+\)(?: && )?)+ \? self\.([\w.]+) : ([^)]+)\)", r"read('\1', \2)", text)
    text = re.sub(r"has\(self\.(\w+)\)", r"('\1' in value)", text)
    text = re.sub(r"self\.(\w+)", r"value['\1']", text)
    text = re.sub(r"(value\['\w+'\])\.matches\(", r"re.search(\1, ", text).replace("startsWith", "startswith")
    return re.sub(r"!(?!=)", " not ", text.replace("||", " or ").replace("&&", " and "))


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.cel and ".all(" not in rule.cel], ids=lambda rule: f"{rule.model.__name__}{rule.validator}"
)
def test_cel_says_the_same_as_python(rule: Any) -> None:
    """Evaluates the rule's text on the rejected example and on mended ones; the API server's own verdict is tested on a cluster."""
    text = cel_of(rule)

    def verdict(value: dict[str, Any]) -> bool:
        def read(path: str, default: Any) -> Any:
            found: Any = value
            for part in path.split("."):
                if not isinstance(found, dict) or part not in found:
                    return default
                found = found[part]
            return found

        return bool(eval(python_of(text), {"read": read, "value": value, "re": Matcher}))

    assert verdict(rule.rejects) is False
    for name, other in MENDED.get(rule.model.__name__) or MENDED[f"{rule.model.__name__}{rule.validator}"]:
        mended = {**rule.rejects, name: other}
        if other is None:
            del mended[name]
        rule.model.model_validate(mended)
        assert verdict(mended) is True


class Matcher:
    """CEL's matches() for python_of, which turns its arguments around."""

    @staticmethod
    def search(text: str, pattern: str) -> bool:
        return re.search(pattern, text) is not None


MENDED: dict[str, list[tuple[str, Any]]] = {
    "ProceduralWorlds": [("maxHops", 2), ("entityTypes", 5)],
    "CorpusSource": [("mcp", {"command": ["x"]}), ("procedural", {"servers": 1})],
    "Walks": [("minLength", 5), ("minLength", None), ("maxLength", 6)],
    "ChainVerification": [("quorum", 1), ("votes", None), ("votes", 2)],
    "RandomModel": [("heads", 3), ("kvHeads", None)],
    "SFTRunSpec": [("launcher", None), ("training", {"ranks": 1}), ("training", None)],
    "RLRunSpec": [("launcher", None), ("training", {"ranks": 1}), ("training", {})],
    "Toleration_one_value": [("operator", "Equal"), ("value", None)],
    "Toleration_one_key": [("key", "a"), ("operator", "Exists")],
    "ClaimVolume": [("mountPath", "/astra2"), ("mountPath", "/data/astra")],
    "SourceVariable": [("name", "MY_ASTRA_A"), ("name", "RANK")],
    "SecretVariable": [("name", "RANKS"), ("name", "MY_RANK")],
}


def test_list_keys_are_required_fields_of_the_items() -> None:
    schema = schema_of("ToolCorpus")["properties"]["spec"]["properties"]["sources"]
    assert schema["x-kubernetes-list-map-keys"] == ["name"]
    assert "name" in schema["items"]["required"]


# ---- names, columns, status


def test_names_are_unique_and_lower_case() -> None:
    words = [word for names in NAMES.values() for word in set(names)]
    assert len(words) == len(set(words))
    assert all(word == word.lower() for word in words)


@pytest.mark.parametrize("kind", KINDS)
def test_frame_of_the_crd(kind: Kind) -> None:
    found = crd(kind)
    assert found["metadata"]["name"] == f"{NAMES[kind].plural}.astra.dev"
    assert found["spec"]["names"]["categories"] == ["astra"]
    (version,) = found["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [column.name for column in COLUMNS]
    assert [column["name"] for column in version["additionalPrinterColumns"] if column.get("priority") == 1] == [
        "Queue",
        "Artifact",
        "Message",
    ]
    assert len(json.dumps(found)) < 100_000, "kubectl's client-side apply keeps a copy in an annotation of at most 262,144 bytes"


def test_columns_point_at_fields_of_the_status() -> None:
    status = schema_of("RLRun")["properties"]["status"]["properties"]
    for column in COLUMNS:
        head, *rest = column.path.removeprefix(".").split(".")
        if head == "status":
            node = status[rest[0].split("[")[0]]
            if "conditions" in rest[0]:
                assert rest[-1] in node["items"]["properties"]
            elif len(rest) > 1:
                assert rest[1] in node["properties"]
        if head == "spec":
            assert rest[0] in schema_of("RLRun")["properties"]["spec"]["properties"]


def test_value_at_reads_both_forms_of_path() -> None:
    resource = {"a": {"b": 1}, "list": [{"type": "X", "v": 1}, {"type": "Succeeded", "v": 2}]}
    assert value_at(".a.b", resource) == 1
    assert value_at('.list[?(@.type=="Succeeded")].v', resource) == 2
    assert value_at('.list[?(@.type=="None")].v', resource) is None
    assert value_at(".a.c.d", resource) is None
    assert value_at('.nothing[?(@.type=="None")].v', resource) is None


def test_conditions_are_a_map_keyed_by_type() -> None:
    conditions = schema_of("SFTRun")["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_reference_page_names_every_field_and_reason() -> None:
    page = generated()["README.md"]
    for kind in KINDS:
        section = page.split(f"## {kind}\n")[1].split("\n## ")[0]
        common = page.split("## Fields that every kind has\n")[1].split("\n## ")[0]
        for path, _, _ in fields(spec_model(kind)):
            leaf = path.split(".")[-1]
            assert re.search(rf"`[\w.\[\]{{}}]*\b{leaf}`", section + common), path
    for reason in REASONS:
        assert f"| {reason} |" in page
