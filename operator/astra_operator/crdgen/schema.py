"""Turns a pydantic model into the structural OpenAPI v3 schema that an API server accepts.

No references, no defaults, no unions with null (an unset optional is absent; the API server prunes nulls of fields that
are not nullable), no ``additionalProperties: false`` (an object without preserve-unknown is closed already). Everything
that the schema cannot hold (unit, default, source, operational) is said in words in the description.
"""

import json
import types
import typing
from typing import Any, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from astra_jobs.api.v1alpha1.quantities import CPU, MEMORY
from astra_operator.crdgen.rules import list_keys_of, validations_of

_KEPT = ("type", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf", "minItems", "maxItems", "not")
_SOURCES = {"paper": "the paper's value", "ours": "our choice"}


def unwrap(annotation: Any) -> Any:
    """Strip Annotated and ``| None`` from an annotation."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return unwrap(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        rest = [item for item in typing.get_args(annotation) if item is not type(None)]
        if len(rest) != 1:
            raise TypeError(f"a field may have one type only, not {annotation}")
        return unwrap(rest[0])
    return annotation


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation (itself, optional, or the items of a list or map), if there is one."""
    bare = unwrap(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return bare
    for item in typing.get_args(bare) if typing.get_origin(bare) in (list, dict) else ():
        if found := nested_model(item):
            return found
    return None


def default_text(info: FieldInfo) -> str | None:
    """Return the default as JSON, or None for a required field and for objects (their fields tell their own)."""
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return None
    if isinstance(value, BaseModel):
        given = value.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return json.dumps(given) if given else None
    return json.dumps(value)


def range_text(prop: dict[str, Any]) -> str:
    """Return the bounds of a converted property in words, empty when there are none."""
    if "type" not in prop:
        return next(kind.words for kind in (CPU, MEMORY) if kind.pattern == prop["pattern"])
    if prop["type"] == "number" and "x-kubernetes-validations" in prop:
        return str(prop["x-kubernetes-validations"][0]["message"]).removeprefix("must be ")
    low, high = prop.get("minimum"), prop.get("maximum")
    parts = []
    if low is not None:
        parts.append(f"above {low}" if prop.get("exclusiveMinimum") else f"at least {low}")
    if high is not None:
        parts.append(f"below {high}" if prop.get("exclusiveMaximum") else f"at most {high}")
    if "multipleOf" in prop:
        parts.append(f"a multiple of {prop['multipleOf']}")
    return ", ".join(parts)


def operational(info: FieldInfo) -> bool:
    """Tell if the field stays out of the attempt's digest."""
    return bool(extra_of(info).get("x-operational", False))


def extra_of(info: FieldInfo) -> dict[str, Any]:
    """Return the marks that ``spec_field`` put on a field."""
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def describe(info: FieldInfo, prop: dict[str, Any]) -> str:
    """Return what ``kubectl explain`` shows of a field."""
    extra = extra_of(info)
    about = (info.description or "").rstrip(".")
    parts = [about[:1].upper() + about[1:]] if about else []
    if extra.get("x-unit"):
        parts.append(f"Unit: {extra['x-unit']}")
    if (default := default_text(info)) is not None:
        parts.append(f"Default: {default}")
    if bounds := range_text(prop):
        parts.append(f"Range: {bounds}")
    if "x-source" in extra and prop.get("type") != "object":
        parts.append(f"Source: {_SOURCES[extra['x-source']]}")
    if extra.get("x-operational"):
        parts.append("Operational: a change starts no new attempt")
    return ". ".join(parts) + "." if parts else ""


def _plain(prop: dict[str, Any]) -> dict[str, Any]:
    """Reduce pydantic's JSON Schema of a property to one non-null alternative."""
    if "anyOf" in prop:
        (rest,) = [item for item in prop["anyOf"] if item.get("type") != "null"]
        return {**rest, **{key: value for key, value in prop.items() if key != "anyOf"}}
    return prop


def _number_or_text(number: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """Convert a quantity: no type, and bounds that are empty for everything but numbers and text.

    With ``x-kubernetes-int-or-string`` the API server would refuse numbers with a fraction.
    """
    nothing = {"minProperties": 1, "maxProperties": 0, "minItems": 1, "maxItems": 0, "not": {"enum": [True, False]}}
    bounds = {key: item for key, item in _leaf(number).items() if key != "type"}
    words = {key: item for key, item in text.items() if key != "type"}
    return bounds | words | nothing | {"x-kubernetes-preserve-unknown-fields": True}


def _leaf(prop: dict[str, Any]) -> dict[str, Any]:
    if "oneOf" in prop:
        return _number_or_text(*prop["oneOf"])
    found = {key: prop[key] for key in _KEPT if key in prop}
    if "const" in prop:
        found.update(type="string", enum=[prop["const"]])
    for json_key, key in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if json_key in prop:
            found[key], found[json_key] = prop[json_key], True
    if "type" not in found:
        raise TypeError(f"no structural type for {prop}")
    return _with_fractions(found)


def _with_fractions(prop: dict[str, Any]) -> dict[str, Any]:
    """Say bounds that are no whole numbers in CEL: the API server's own message cuts them ("less than or equal to 0" for 0.9)."""
    low, high = prop.get("minimum", 0), prop.get("maximum", 0)
    if prop["type"] != "number" or (float(low).is_integer() and float(high).is_integer()):
        return prop
    tests = []
    if "minimum" in prop:
        tests.append(f"self {'>' if prop.get('exclusiveMinimum') else '>='} {float(low)}")
    if "maximum" in prop:
        tests.append(f"self {'<' if prop.get('exclusiveMaximum') else '<='} {float(high)}")
    rule = {"rule": " && ".join(tests), "message": f"must be {range_text(prop)}"}
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return {key: value for key, value in prop.items() if key not in bounds} | {"x-kubernetes-validations": [rule]}


def _map(values: Any, prop: dict[str, Any]) -> dict[str, Any]:
    """Convert a map; pydantic files the values under the pattern of the keys, which a structural schema can only say in CEL."""
    found: dict[str, Any] = {"type": "object"}
    if "maxProperties" in prop:
        found["maxProperties"] = prop["maxProperties"]
    if "patternProperties" not in prop:
        return found | {"additionalProperties": _convert(values, prop["additionalProperties"])}
    ((pattern, inner),) = prop["patternProperties"].items()
    longest = prop["propertyNames"]["maxLength"]
    rule = f"self.all(key, size(key) <= {longest} && key.matches({json.dumps(pattern)}))"
    message = f"every key must have at most {longest} characters and match {pattern}"
    return found | {"additionalProperties": _convert(values, inner), "x-kubernetes-validations": [{"rule": rule, "message": message}]}


def _convert(annotation: Any, prop: dict[str, Any]) -> dict[str, Any]:
    bare, prop = unwrap(annotation), _plain(prop)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return object_schema(bare)
    if typing.get_origin(bare) is list:
        found = _leaf({key: value for key, value in prop.items() if key != "items"})
        found["items"] = _convert(typing.get_args(bare)[0], prop["items"])
        return found
    if typing.get_origin(bare) is dict:
        return _map(typing.get_args(bare)[1], prop)
    return _leaf(prop)


def object_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a model, descriptions and cross-field rules included."""
    properties: dict[str, Any] = {}
    source = model.model_json_schema(by_alias=True)
    listed = source["properties"] if "properties" in source else source["$defs"][model.__name__]["properties"]
    keys = list_keys_of(model)
    required = []
    for name, info in model.model_fields.items():
        alias = info.alias or name
        prop = _convert(info.annotation, listed[alias])
        if alias in keys:
            prop["x-kubernetes-list-type"] = "map"
            prop["x-kubernetes-list-map-keys"] = [keys[alias]]
        properties[alias] = {"description": describe(info, prop), **prop} if describe(info, prop) else prop
        if info.is_required():
            required.append(alias)
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = required
    if validations := validations_of(model):
        found["x-kubernetes-validations"] = validations
    return found
