"""One line for what pydantic refuses: the field as the user wrote it, the value found, and the mend.

Every place that reads something a person wrote (manifests, requests, frozen specs) words its refusal through ``explain``,
so the command line, the operator and the jobs say the same thing about the same mistake.
"""

import difflib
import json
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from astra_jobs.api.credentials import REMEDY, is_credential

_SHOWN = 80
_CONFIDENTIAL = ("command", "env", "headers")
"""Fields whose values are never shown: what is written there by mistake may be a credential."""
_MENDS = {
    "missing": "add the field",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "string_type": "write text, in quotes if it looks like a number",
    "bool_type": "write true or false",
    "list_type": "write a list",
    "dict_type": "write a mapping",
    "model_type": "write a mapping",
    "model_attributes_type": "write a mapping",
    "credential": REMEDY,
}


@dataclass(frozen=True)
class Invalid:
    """The first refusal of a ValidationError; ``field`` is a dotted path, ``value`` JSON cut to 80 characters."""

    field: str
    value: str
    problem: str
    mend: str
    others: int = 0
    loc: tuple[int | str, ...] = ()

    def message(self) -> str:
        """Return value, problem and mend in one line, without the field."""
        more = f" (and {self.others} more)" if self.others else ""
        found = f"found {self.value}: " if self.value else ""
        return f"{found}{self.problem}; {self.mend}{more}"

    def __str__(self) -> str:
        return f"{self.field}: {self.message()}" if self.field else self.message()


def explain(error: ValidationError, model: type[BaseModel]) -> Invalid:
    """Word the first refusal of ``error``, which arose from validating data against ``model``."""
    found = explain_all(error, model)
    return replace(found[0], others=len(found) - 1)


def explain_all(error: ValidationError, model: type[BaseModel]) -> list[Invalid]:
    """Word every refusal of ``error``, in pydantic's order; ``loc`` is kept for those who know the lines of the file."""
    return [_word(dict(item), model) for item in error.errors(include_url=False, include_context=False)]


def _word(item: dict[str, Any], model: type[BaseModel]) -> Invalid:
    problem = "unknown field" if item["type"] == "extra_forbidden" else _one_line(item["msg"]).removeprefix("Value error, ")
    value = "" if item["type"] == "missing" or _confidential(item) else _shown(item["input"])
    return Invalid(_dotted(item["loc"]), value, problem, _mend(item["type"], item["loc"], model), loc=item["loc"])


def _confidential(item: dict[str, Any]) -> bool:
    """Tell if the value found may be a credential: then it is in no message, whatever is wrong with it."""
    named = {str(part): item["input"] for part in item["loc"][-1:]}
    return item["type"] == "credential" or any(part in _CONFIDENTIAL for part in item["loc"]) or _holds_credential(named)


def _holds_credential(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            is_credential(f"{name}={inner}") if isinstance(inner, str) else _holds_credential(inner) for name, inner in value.items()
        )
    return any(map(_holds_credential, value)) if isinstance(value, list) else isinstance(value, str) and is_credential(value)


def _dotted(loc: tuple[int | str, ...]) -> str:
    """Write a location the way the user's file spells it: camelCase, indices in brackets; on one line, whatever a key holds."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if part.isprintable() else json.dumps(part)[1:-1]}"
    return text.removeprefix(".")


def _mend(kind: str, loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    if kind != "extra_forbidden":
        return _MENDS.get(kind, "change it so that this holds")
    known = _siblings(loc[:-1], model)
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    if close:
        return f"remove it or write {close[0]}"
    return f"remove it; known here: {', '.join(known)}" if known else "remove it"


def _siblings(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the field names that are allowed at a location, [] where the path leaves the models."""
    here: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int) or here is None:
            continue
        fields = {(field.alias or name): field for name, field in here.model_fields.items()}
        field = fields.get(part) or fields.get(to_camel(part))
        here = _model_in(field.annotation) if field else None
    return sorted(field.alias or name for name, field in here.model_fields.items()) if here else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    text = _one_line(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join(text.split())
