"""What an attempt freezes, and what of a spec counts for its identity.

A field marked ``x-operational`` changes how a run is carried out, not what it makes: it is dropped before digests are
taken and may change while an attempt runs.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError

from astra_jobs.api.artifact import Kind
from astra_jobs.api.base import Model, digest_of
from astra_jobs.api.invalid import explain
from astra_jobs.api.request import Input, StoreSettings
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.api.v1alpha1.common import CommonSpec
from astra_operator.clusters.base import Object


class Frozen(Model):
    """The record in an attempt's ConfigMap, from which the attempt is carried out ever after."""

    number: int = Field(ge=1)
    kind: Kind
    digest: str = Field(description="hash of kind, frozen spec, input digests and rerun")
    written: str = Field(description="hash of the user's spec as it was written, without operational fields")
    spec: dict[str, Any] = Field(description="effective spec, defaults filled in")
    inputs: list[Input] = Field(default_factory=list)
    store: StoreSettings
    isolation: str
    runtime_class: str | None = Field(default=None, description="of the pods that run tools; these four are absent for Process")
    network_policy: str | None = None
    sandbox_image: str | None = None
    sandbox_users: str | None = None
    image: str
    store_secret: str = ""
    pod_user: str | None = Field(default=None, description="empty where the cluster assigns it; absent in attempts of older versions")
    pod_group: str | None = None
    code_version: str
    start_time: str


@dataclass(frozen=True)
class Live:
    """A run's spec as it is now. ``spec`` is None when it is invalid, and ``problem`` the one line that says why."""

    written: str
    spec: dict[str, Any] | None
    common: CommonSpec
    problem: str = ""


def spec_model(kind: Kind) -> type[BaseModel]:
    """Return the pydantic model of a kind's spec."""
    model = MODELS[kind].model_fields["spec"].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def read_live(run: Object) -> Live:
    """Validate a run's spec; an invalid one still tells what suspends the run."""
    kind: Kind = run["kind"]
    raw = run.get("spec")
    written = digest_of(identity(raw, spec_model(kind)))
    body = {key: run[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in run}
    try:
        spec = MODELS[kind].model_validate(body).spec
    except ValidationError as error:
        suspended = isinstance(raw, dict) and raw.get("suspend") is True
        return Live(written, None, CommonSpec(suspend=suspended), str(explain(error, MODELS[kind])))
    return Live(written, spec.to_dict(), spec)


def common_of(spec: dict[str, Any]) -> CommonSpec:
    """Return the part of an effective spec that all kinds share."""
    names = {field.alias or name for name, field in CommonSpec.model_fields.items()}
    return CommonSpec.model_validate({key: value for key, value in spec.items() if key in names})


def identity(spec: Any, model: type[BaseModel]) -> Any:
    """Return a spec without its operational fields; what the model does not know stays, so that bad specs can be told apart too."""
    if not isinstance(spec, dict):
        return spec
    fields = _fields(model)
    kept = {}
    for key, value in spec.items():
        operational, inner, _ = fields.get(key, (False, None, False))
        if operational:
            continue
        if inner is not None:
            value = [identity(item, inner) for item in value] if isinstance(value, list) else identity(value, inner)
        kept[key] = value
    return kept


def overlay(spec: dict[str, Any], live: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a frozen spec with the operational fields of the live one; what decides the result stays frozen."""
    merged = dict(spec)
    for key, (operational, inner, listed) in _fields(model).items():
        if operational:
            merged.pop(key, None)
            if key in live:
                merged[key] = live[key]
        elif inner is not None and not listed and isinstance(spec.get(key), dict) and isinstance(live.get(key), dict):
            merged[key] = overlay(spec[key], live[key], inner)
    return merged


def attempt_digest(kind: Kind, spec: dict[str, Any], inputs: tuple[Input, ...] | list[Input]) -> str:
    """Return the identity of an attempt: equal for equal wishes, whenever and in whatever run they are made."""
    wish = identity(spec, spec_model(kind))
    rerun = wish.pop("rerun", "")
    return digest_of([kind, wish, input_digests(inputs), rerun])


def stage_digest(frozen: Frozen, unread: str) -> str:
    """Return the identity of what a stage makes: the attempt's, but for a field of the spec that the stage does not read."""
    if not unread:
        return frozen.digest
    spec = {key: value for key, value in frozen.spec.items() if key != unread}
    return attempt_digest(frozen.kind, spec, [item for item in frozen.inputs if not item.role.startswith(f"{unread}/")])


def input_digests(inputs: tuple[Input, ...] | list[Input]) -> list[list[str]]:
    """Return what of the inputs counts: which artifact in which role."""
    return [[item.role, item.artifact.digest] for item in inputs]


@cache
def _fields(model: type[BaseModel]) -> dict[str, tuple[bool, type[BaseModel] | None, bool]]:
    """Return for each field, by its name outside Python: is it operational, the model inside it, is it a list."""
    found = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        inner = _model_in(field.annotation)
        listed = inner is not None and inner is not field.annotation and "list" in str(field.annotation)
        found[field.alias or name] = (bool(extra.get("x-operational")), inner, listed)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
