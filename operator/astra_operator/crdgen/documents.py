"""Puts the five CRDs together and writes them as YAML."""

import io
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.base import GROUP, VERSION
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.api.v1alpha1.status import Status
from astra_operator.crdgen.columns import COLUMNS
from astra_operator.crdgen.names import NAMES
from astra_operator.crdgen.rules import name_rules
from astra_operator.crdgen.scalars import KubectlResolver
from astra_operator.crdgen.schema import object_schema

HEADER = "# Generated from astra_jobs/api/v1alpha1 by 'make generate'; do not edit.\n"


def spec_model(kind: Kind) -> type[BaseModel]:
    """Return the model of a kind's spec."""
    model = MODELS[kind].model_fields["spec"].annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{kind}.spec is not a model")
    return model


def status_schema() -> dict[str, Any]:
    """Return the status schema; conditions are a list keyed by type, so that two writers can own one each."""
    schema = object_schema(Status)
    schema.pop("required", None)
    conditions = schema["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    return schema


def root_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of the whole resource."""
    return {
        "description": (MODELS[kind].__doc__ or "").strip(),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{kind}."},
            "metadata": {"type": "object"},
            "spec": {"description": "What is asked for.", **object_schema(spec_model(kind))},
            "status": {"description": "What is known of the run; written by the operator only.", **status_schema()},
        },
        "x-kubernetes-validations": name_rules(MODELS[kind]),
    }


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    names = NAMES[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short],
                "categories": ["astra"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.to_dict() for column in COLUMNS],
                    "schema": {"openAPIV3Schema": root_schema(kind)},
                }
            ],
        },
    }


class _Representer(SafeRepresenter):
    """Writes text of several lines as a literal block, which a person can read."""

    def represent_str(self, data: str) -> Any:
        """Return the node of a text."""
        lines = data.split("\n")
        plain = all(line.isprintable() and not line.endswith(" ") for line in lines) and not data.startswith((" ", "\n"))
        style = "|" if len(lines) > 2 and plain else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_str)


def to_yaml(document: dict[str, Any]) -> str:
    """Return a document as block-style YAML, keys in the given order."""
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _Representer
    writer.Resolver = KubectlResolver
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 140
    stream = io.StringIO()
    writer.dump(document, stream)
    return stream.getvalue()


def generated() -> dict[str, str]:
    """Return every generated file of ``crds/``: name → text."""
    from astra_operator.crdgen.reference import page

    files = {f"{NAMES[kind].plural}.yaml": HEADER + to_yaml(crd(kind)) for kind in KINDS}
    return {**files, "README.md": page()}
