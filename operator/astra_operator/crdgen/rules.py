"""Cross-field rules, once in Python (the model validators) and once in CEL, side by side in one table.

The CRD carries no defaults, so a rule that compares optional fields must bring the model's defaults itself:
``{minLength}`` in a rule's text becomes ``(has(self.minLength) ? self.minLength : 2)``, and a dotted ``{training.ranks}``
walks through optional objects. Every validator of a model needs an entry, and every entry a document that it rejects.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from astra_jobs.api.base import NAME_PATTERN
from astra_jobs.api.v1alpha1.chains import ChainVerification, Walks
from astra_jobs.api.v1alpha1.common import CommonSpec, LetteredMetadata, ProceduralWorlds
from astra_jobs.api.v1alpha1.corpus import CorpusSource, McpSource, SourceVariable, ToolCorpusSpec
from astra_jobs.api.v1alpha1.names import LETTER_FIRST, LONGEST_NAME
from astra_jobs.api.v1alpha1.pod import RESERVED_PREFIXES, RESERVED_VARIABLES, ROOT, ClaimVolume, Pod, SecretVariable, Toleration
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.sft import SFTRunSpec
from astra_jobs.api.v1alpha1.training import RandomModel

ONE_RANK = '{launcher} != "Job" || {training.ranks} <= 1'
ONE_RANK_MESSAGE = "launcher Job runs one rank; use PyTorchJob for training.ranks above 1"


@dataclass(frozen=True)
class Rule:
    """One cross-field rule of a model: ``cel`` is a template, ``rejects`` the smallest value of the model that breaks it.

    ``field`` is the one to blame, where it is one. ``list_keys`` says it with a keyed list instead (the API server refuses doubled keys
    at no CEL cost): field → key.
    """

    model: type[BaseModel]
    validator: str
    message: str
    rejects: dict[str, Any]
    cel: str = ""
    field: str = ""
    list_keys: tuple[str, str] | None = None


_OTHER = {"name": "a", "procedural": {"servers": 1}}
_VOLUME = {"name": "a", "claimName": "a", "mountPath": "/a"}
_VARIABLE = {"name": "A", "secret": "a", "key": "a"}
_PREFIXED = "|".join(f"{prefix}.*" for prefix in RESERVED_PREFIXES)
_RESERVED = "|".join((_PREFIXED, *RESERVED_VARIABLES))

RULES: tuple[Rule, ...] = (
    Rule(
        CorpusSource,
        "_one_source",
        "set exactly one of mcp and procedural",
        {"name": "a"},
        cel="has(self.mcp) != has(self.procedural)",
    ),
    Rule(
        McpSource,
        "_variables_once",
        "names in env must be unique",
        {"command": ["a"], "env": [_VARIABLE, _VARIABLE]},
        list_keys=("env", "name"),
    ),
    Rule(
        SourceVariable,
        "_free",
        "name is set by the operator; choose another variable",
        _VARIABLE | {"name": "ASTRA_A"},
        cel=f'!self.name.matches("^({_PREFIXED})$")',
        field="name",
    ),
    Rule(ToolCorpusSpec, "_unique_names", "names in sources must be unique", {"sources": [_OTHER, _OTHER]}, list_keys=("sources", "name")),
    Rule(Walks, "_ordered", "minLength must not exceed maxLength", {"minLength": 6}, cel="{minLength} <= {maxLength}", field="minLength"),
    Rule(ChainVerification, "_reachable", "quorum must not exceed votes", {"votes": 1}, cel="{quorum} <= {votes}", field="quorum"),
    Rule(
        ProceduralWorlds,
        "_reachable",
        "maxHops must not exceed entityTypes",
        {"maxHops": 4},
        cel="{maxHops} <= {entityTypes}",
        field="maxHops",
    ),
    Rule(RandomModel, "_grouped", "heads must be a multiple of kvHeads", {"kvHeads": 3}, cel="{heads} % {kvHeads} == 0", field="heads"),
    Rule(
        SFTRunSpec,
        "_one_rank_on_a_job",
        ONE_RANK_MESSAGE,
        {"model": {"random": {}}, "data": [{"name": "a"}], "launcher": "Job", "training": {"ranks": 2}},
        cel=ONE_RANK,
        field="launcher",
    ),
    Rule(
        RLRunSpec,
        "_one_rank_on_a_job",
        ONE_RANK_MESSAGE,
        {"model": {"run": {"name": "a"}}, "environments": [{"name": "a"}], "launcher": "Job", "training": {"ranks": 2}},
        cel=ONE_RANK,
        field="launcher",
    ),
    Rule(
        Toleration,
        "_one_value",
        "operator Exists takes no value; remove it or use Equal",
        {"key": "a", "operator": "Exists", "value": "b"},
        cel='{operator} != "Exists" || {value} == ""',
        field="value",
    ),
    Rule(
        Toleration,
        "_one_key",
        "operator Equal needs a key; add it or use Exists",
        {"effect": "NoSchedule"},
        cel='{operator} != "Equal" || has(self.key)',
        field="key",
    ),
    Rule(
        ClaimVolume,
        "_outside",
        "mountPath must lie outside of /astra, which belongs to the job",
        _VOLUME | {"mountPath": "/astra/in"},
        cel=f'self.mountPath != "{ROOT}" && !self.mountPath.startsWith("{ROOT}/")',
        field="mountPath",
    ),
    Rule(
        SecretVariable,
        "_free",
        "name is set by the operator or the launcher; choose another variable",
        _VARIABLE | {"name": "RANK"},
        cel=f'!self.name.matches("^({_RESERVED})$")',
        field="name",
    ),
    Rule(
        Pod,
        "_paths_once",
        "mountPath in volumes must be unique",
        {"volumes": [_VOLUME, _VOLUME | {"name": "b"}]},
        cel="!has(self.volumes) || self.volumes.all(a, self.volumes.exists_one(b, b.mountPath == a.mountPath))",
        field="volumes",
    ),
    Rule(
        Pod,
        "_volumes_once",
        "names in volumes must be unique",
        {"volumes": [_VOLUME, _VOLUME | {"mountPath": "/b"}]},
        list_keys=("volumes", "name"),
    ),
    Rule(
        Pod, "_variables_once", "names in secretEnv must be unique", {"secretEnv": [_VARIABLE, _VARIABLE]}, list_keys=("secretEnv", "name")
    ),
    Rule(
        Pod,
        "_pull_secrets_once",
        "names in imagePullSecrets must be unique",
        {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
        list_keys=("imagePullSecrets", "name"),
    ),
    Rule(
        Pod,
        "_stages_once",
        "stages in stages must be unique",
        {"stages": [{"stage": "merge"}, {"stage": "merge"}]},
        list_keys=("stages", "stage"),
    ),
)

# What may not change once it is set; there is no twin in Python, because a model never sees the object as it was.
TRANSITIONS: dict[type[BaseModel], tuple[dict[str, str], ...]] = {
    CommonSpec: (
        {
            "rule": "!has(oldSelf.managedBy) || (has(self.managedBy) && self.managedBy == oldSelf.managedBy)",
            "message": "managedBy may not change once it is set; make another run",
            "fieldPath": ".managedBy",
        },
    )
}

_NAME_RULES: tuple[dict[str, Any], ...] = (
    {"rule": f"size(self.metadata.name) <= {LONGEST_NAME}", "message": f"metadata.name must have at most {LONGEST_NAME} characters"},
    {
        "rule": f"self.metadata.name.matches('{NAME_PATTERN}')",
        "message": "metadata.name must be lower-case letters, digits and hyphens",
    },
)

# Asked at creation only: a name never changes, and a status of an object that is older than the rule must still be writable.
_LETTER_RULE = {
    "rule": "oldSelf.hasValue() || self.metadata.name.matches('^[a-z]')",
    "message": f"metadata.name {LETTER_FIRST}",
    "optionalOldSelf": True,
}


def name_rules(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the x-kubernetes-validations of a kind's whole object: what its name must be like for its children to bear it."""
    lettered = model.model_fields["metadata"].annotation is LetteredMetadata
    return [*map(dict, _NAME_RULES), *([dict(_LETTER_RULE)] if lettered else [])]


def field_of(model: type[BaseModel], alias: str) -> tuple[str, Any]:
    """Return the Python name and FieldInfo of a camelCase field."""
    for name, info in model.model_fields.items():
        if (info.alias or name) == alias:
            return name, info
    raise KeyError(f"{model.__name__} has no field {alias}")


def _default(model: type[BaseModel], path: list[str]) -> str:
    _, info = field_of(model, path[0])
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        raise KeyError(f"{model.__name__}.{path[0]} has no default to use in a rule")
    for part in path[1:]:
        value = getattr(value, field_of(type(value), part)[0])
    return json.dumps(value)


def _read(model: type[BaseModel], path: str) -> str:
    parts = path.split(".")
    tests = [f"has(self.{'.'.join(parts[: depth + 1])})" for depth in range(len(parts))]
    return f"({' && '.join(tests)} ? self.{path} : {_default(model, parts)})"


def cel_of(rule: Rule) -> str:
    """Return the rule's CEL text with reads and the model's defaults filled in."""
    return re.sub(r"\{([\w.]+)\}", lambda match: _read(rule.model, match.group(1)), rule.cel)


def _validation(rule: Rule) -> dict[str, str]:
    said = {"rule": cel_of(rule), "message": rule.message}
    return said | {"fieldPath": f".{rule.field}"} if rule.field else said


def validations_of(model: type[BaseModel]) -> list[dict[str, str]]:
    """Return the x-kubernetes-validations of a model's object."""
    between = [_validation(rule) for rule in RULES if rule.model is model and rule.cel]
    return between + [dict(rule) for base, rules in TRANSITIONS.items() if issubclass(model, base) for rule in rules]


def list_keys_of(model: type[BaseModel]) -> dict[str, str]:
    """Return field → key for the lists of a model whose items are told apart by a key."""
    return {rule.list_keys[0]: rule.list_keys[1] for rule in RULES if rule.model is model and rule.list_keys}
