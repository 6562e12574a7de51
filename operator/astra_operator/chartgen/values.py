"""What charts' values are declared with: a closed model, a field helper, and the small types that several charts share.

A value is never null: Helm takes null for "remove the key". What is not set is empty text, an empty list or an empty map, and a
template's ``with`` leaves it out. Free-form parts (affinity, resources) are Kubernetes' own and are judged by the API server.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from astra_jobs.api.v1alpha1.quantities import GRAMMAR, LONGEST

_UNSET: Any = ...

Text = Annotated[str, StringConstraints(max_length=500)]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
OptionalName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$", max_length=253)]
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(ms|s|m|h)$", max_length=20)]
Texts = dict[str, Text]
# One schema of two types and no alternatives: a refusal is one line.
_GOOD = {"type": ["number", "string"], "minimum": 0, "maxLength": LONGEST, "pattern": GRAMMAR}
Amount = Annotated[str, WithJsonSchema(_GOOD)]
"""A quantity as Kubernetes writes it, a number or text; none is negative."""
OptionalAmount = Annotated[str, WithJsonSchema({**_GOOD, "pattern": rf"^$|{GRAMMAR}"})]


Free = dict[str, Any]


class Values(BaseModel):
    """A closed part of a chart's values; names are camelCase outside Python, nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


def value(default: Any = _UNSET, *, about: str, unit: str = "", shown: str = "", **limits: Any) -> Any:
    """Declare a value: ``about`` is one sentence, ``shown`` what the README gives as default where that is no constant.

    ``limits`` go to pydantic. Everything but a part's model and a list of models needs a default, so that a chart installs as it is.
    """
    extra: dict[str, Any] = {"x-unit": unit, "x-shown": shown}
    if callable(default):
        return Field(default_factory=default, description=about, json_schema_extra=extra, **limits)
    return Field(default=default, description=about, json_schema_extra=extra, **limits)


class Port(Values):
    """A port of the DNS server."""

    port: int = value(about="port of the DNS server's pods", ge=1, le=65535)
    protocol: Literal["UDP", "TCP"] = value(about="protocol")


def names_ports() -> list[Port]:
    """Return the ports at which most clusters answer questions for names."""
    return [Port(port=53, protocol="UDP"), Port(port=53, protocol="TCP")]


PORTS_ABOUT = "ports of the DNS server's pods, each with port and protocol; 5353 with OpenShift"


class Image(Values):
    """An image: a digest pins it, else the tag is taken."""

    repository: Text = value("astra-operator", about="where the image is, with the registry's host where it needs one", min_length=1)
    tag: Text = value("", about="tag of the image", shown="the chart's version")
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")] = value(
        "", about="digest of the image; when it is set, the tag is not looked at"
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = value("IfNotPresent", about="when the node pulls the image")


@dataclass(frozen=True)
class Chart:
    """One chart: what its generated files say. ``files`` gives more files (path in the chart → text), ``owned`` globs of such files."""

    name: str
    model: type[Values]
    about: str
    intro: str
    files: Callable[[str], dict[str, str]] = field(default=lambda version: {})
    owned: tuple[str, ...] = ()
