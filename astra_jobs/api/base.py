"""Closed pydantic models and the field helper from which CRDs, their reference and all validation are made.

One model is the single source of a field: type, range, default, unit, source in the paper, and whether it is
*operational* (it changes how a run is carried out, not what it makes, so it stays out of the attempt's digest).
"""

import hashlib
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

GROUP = "astra.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Source = Literal["paper", "ours"]

_ValueT = TypeVar("_ValueT", int, float, bool, str)
Named = Annotated[dict[str, _ValueT], PlainSerializer(lambda found: dict(sorted(found.items())))]
"""Values by name, in which order means nothing: written sorted, so that equal ones are equal bytes."""

_UNSET: Any = ...


class Model(BaseModel):
    """A closed record: unknown fields are refused, values are never coerced, names are camelCase outside Python."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=False,
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: camelCase keys, unset optionals left out, so two equal models give equal bytes."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def spec_field(
    default: Any = _UNSET, *, about: str, unit: str = "", source: Source = "ours", operational: bool = False, **limits: Any
) -> Any:
    """Declare a field of a resource: ``about`` is one sentence for ``kubectl explain``; ``limits`` go to pydantic.

    Defaults live here and never in the CRD, because the API server would write them into users' objects.
    """
    extra: dict[str, Any] = {"x-operational": operational, "x-source": source, "x-unit": unit}
    if callable(default):
        return Field(default_factory=default, description=about, json_schema_extra=extra, **limits)
    return Field(default=default, description=about, json_schema_extra=extra, **limits)


def canonical(value: Any) -> bytes:
    """Encode JSON data as the one byte string that digests are taken of (sorted keys, no spaces, UTF-8)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def as_declared(value: Any) -> bytes:
    """Encode JSON data as ``canonical`` does, with the keys in the order in which they are: what a model is shown later.

    Records are written so. The order of a tool's schema and of a call's arguments is part of the prompt.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """Return ``sha256:`` and the hex digest of a JSON value's canonical bytes."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
