"""What the CRDs promise on a real API server: rules with their messages, descriptions, columns, keyed lists, status, updates."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.v1alpha1.status import REASONS, Status
from astra_operator.crdgen.documents import crd, spec_model
from astra_operator.crdgen.names import NAMES
from astra_operator.crdgen.rules import RULES, TRANSITIONS, Rule
from astra_operator.crdgen.schema import nested_model
from tests.cluster.plane.plane import ROOT, ControlPlane
from tests.cluster.schema_specs import body_of
from tests.cluster.schema_wire import CREATED, OK, Wire, refusal
from tests.reconcile.harness import SPECS, manifest

Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def wire(plane: ControlPlane) -> Iterator[Wire]:
    with contextlib.closing(Wire(plane)) as wire:
        yield wire


def places(model: type[BaseModel], wanted: type[BaseModel], path: Path = ()) -> Iterator[Path]:
    """Where in a spec a model stands; the first item of a list stands for all."""
    if model is wanted:
        yield path
    for name, info in model.model_fields.items():
        if inner := nested_model(info.annotation):
            listed = (0,) if "list[" in str(info.annotation) else ()
            yield from places(inner, wanted, (*path, info.alias or name, *listed))


PLACES = [(kind, rule, path) for kind in KINDS for rule in RULES for path in places(spec_model(kind), rule.model)]


def put(value: Any, path: Path, part: dict[str, Any]) -> Any:
    """A value with a part over what stands at a path, which is made where it is missing."""
    if not path:
        return (value or {}) | part
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        first, *others = value or [{"stage": "merge"} if "stages" in str(path) else {}]
        return [put(first, rest, part), *others]
    value = value or {}
    return value | {head: put(value.get(head), rest, part)}


def said(answer: dict[str, Any]) -> tuple[str, str]:
    """Field and message of a refusal that has one cause."""
    (cause,) = answer["details"]["causes"]
    return cause["field"], cause["message"]


def dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in ("spec", *path)).removeprefix(".")


@pytest.mark.parametrize(("kind", "rule", "path"), PLACES, ids=lambda value: value.validator if isinstance(value, Rule) else str(value))
def test_each_rule_refuses_its_example_in_one_line_that_names_the_field(wire: Wire, kind: Kind, rule: Rule, path: Path) -> None:
    base = put(SPECS[kind], ("pod", "stages", 0), {"stage": "merge"}) if "stages" in path else SPECS[kind]
    if rule.model.__name__ == "CorpusSource" or "mcp" in path:
        base = {"sources": [{"name": "a", **({"mcp": {"command": ["a"]}} if "mcp" in path else {})}]}
    code, answer = wire.try_run(kind, body_of(kind, put(base, path, rule.rejects)))
    assert code == 422, answer
    field, message = said(answer)
    if rule.list_keys:
        assert (field, message.split(":")[0]) == (f"{dotted((*path, rule.list_keys[0]))}[1]", "Duplicate value")
    else:
        assert field == dotted((*path, rule.field) if rule.field else path)
        assert message.endswith(f": {rule.message}")
    assert "\n" not in answer["message"]


def test_every_rule_was_tried() -> None:
    assert {rule.validator for _, rule, _ in PLACES} == {rule.validator for rule in RULES}


LINES = {
    "defects over its bound": (
        {"sources": [{"name": "a", "procedural": {"servers": 1, "defects": 1}}]},
        "must be at least 0.0, at most 0.9",
    ),
    "number as text": ({"seed": "1"}, 'spec.seed: Invalid value: "string": spec.seed in body must be of type integer: "string"'),
    "truth as number": ({"seed": True}, 'spec.seed in body must be of type integer: "boolean"'),
    "unknown field": ({"sed": 1}, 'unknown field "spec.sed"'),
    "not in the enum": ({"onInputChange": "finish"}, 'supported values: "Finish", "Replace", "Ignore"'),
    "missing": ({"sources": None}, "spec.sources: Required value"),
    "label": ({"pod": {"nodeSelector": {"a b": "c"}}}, "spec.pod.nodeSelector: Invalid value: every key must have at most 253 characters"),
    "long": ({"rerun": "x" * 201}, "spec.rerun: Too long: may not be more than 200"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_refusal_names_the_field_and_what_would_do(wire: Wire, case: str) -> None:
    changes, words = LINES[case]
    assert words in refusal(*wire.try_run("ToolCorpus", body_of("ToolCorpus", SPECS["ToolCorpus"] | changes)))


def test_names_of_runs_are_bounded(wire: Wire) -> None:
    for name, words in (("x" * 53, "at most 52 characters"), ("a.b", "lower-case letters, digits and hyphens")):
        body = body_of("RLRun", SPECS["RLRun"]) | {"metadata": {"name": name}}
        assert words in refusal(*wire.try_run("RLRun", body))


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_begins_with_a_digit_is_refused_where_a_child_cannot_bear_it(wire: Wire, kind: Kind) -> None:
    answer = wire.try_run(kind, body_of(kind, SPECS[kind]) | {"metadata": {"name": "7b-base"}})
    if kind in ("ToolCorpus", "ChainSynthesis"):
        assert answer[0] == CREATED
    else:
        assert "metadata.name must begin with a letter" in refusal(*answer)
        assert "such as run-" in refusal(*answer)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manager_may_be_named_once_and_never_changed(wire: Wire, kind: Kind) -> None:
    (rules,) = TRANSITIONS.values()
    url = collection(wire, kind)
    assert wire.send("POST", url, body_of(kind, SPECS[kind]) | {"metadata": {"name": "managed"}})[0] == CREATED
    patch = {"content-type": "application/merge-patch+json"}
    assert wire.send("PATCH", f"{url}/managed", {"spec": {"managedBy": "example.com/a"}}, **patch)[0] == OK
    for value in ("example.com/b", None):
        code, answer = wire.send("PATCH", f"{url}/managed", {"spec": {"managedBy": value}}, **patch)
        assert code == 422, answer
        field, message = said(answer)
        assert (field, message.endswith(rules[0]["message"])) == ("spec.managedBy", True)
    assert wire.send("PATCH", f"{url}/managed", {"spec": {"seed": 3}}, **patch)[0] == OK


def collection(wire: Wire, kind: Kind) -> str:
    return f"/apis/astra.dev/v1alpha1/namespaces/{wire.namespace}/{NAMES[kind].plural}"


# ---- status and columns


def full_status(reason: str) -> dict[str, Any]:
    """A status with every condition and every other field at a plausible size."""
    types = ("Succeeded", "Ready", "Reconciling", "Stalled", "Suspended", "InputsReady", "ServicesReady", "Outdated")
    time, artifact = "2030-01-01T00:00:00Z", {"uri": "file:///store/a", "digest": "sha256:" + "0" * 64}
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "why", "observedGeneration": 1, "lastTransitionTime": time}
        for kind in types
    ]
    attempt = {"number": 2, "digest": "sha256:1", "restarts": 1, "startTime": time, "completionTime": time}
    return {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "conditions": conditions,
        "attempt": attempt,
        "stage": "train",
        "progress": {"step": 1, "total": 2, "percent": 50, "display": "50%", "etaSeconds": 3, "message": "half", "time": time},
        "metrics": {f"metric{number}": "1.0" for number in range(32)},
        "artifact": artifact,
        "artifacts": {"train": artifact},
        "history": [{"number": 1, "digest": "sha256:0", "outcome": "Failed", "artifact": artifact}],
    }


@pytest.fixture(scope="module")
def stored(wire: Wire) -> str:
    """The path of a run that is really there."""
    code, answer = wire.send("POST", collection(wire, "RLRun"), manifest("RLRun", "stored", queue="team"))
    assert code == CREATED, answer
    return f"{collection(wire, 'RLRun')}/stored"


def write_status(wire: Wire, run: str, status: dict[str, Any], query: str = "fieldValidation=Strict") -> tuple[int, dict[str, Any]]:
    return wire.send("PATCH", f"{run}/status?{query}", {"status": status}, **{"content-type": "application/merge-patch+json"})


def test_every_reason_is_kept_whole(wire: Wire, stored: str) -> None:
    for reason in REASONS:
        status = full_status(reason)
        Status.model_validate(status)
        code, answer = write_status(wire, stored, status, "fieldValidation=Strict&dryRun=All")
        assert code == OK, answer
        assert answer["status"] == status


def test_unknown_fields_of_a_status_are_refused_or_pruned_and_bounds_hold(wire: Wire, stored: str) -> None:
    status = full_status("Running")
    code, answer = write_status(wire, stored, status | {"more": 1})
    assert (code, 'unknown field "status.more"' in answer["message"]) == (422, True)
    code, answer = write_status(wire, stored, status | {"more": 1}, "fieldValidation=Ignore&dryRun=All")
    assert (code, answer["status"]) == (OK, status)
    condition = status["conditions"][0]
    for broken in (
        {"conditions": [condition | {"message": "x" * 1025}]},
        {"conditions": [condition, condition]},
        {"conditions": [condition | {"type": "Other"}]},
        {"metrics": {f"m{number}": "1" for number in range(33)}},
        {"history": status["history"] * 6},
    ):
        code, answer = write_status(wire, stored, broken)
        assert code == 422, (broken, answer)


def test_a_status_may_be_nothing_and_is_no_business_of_whoever_writes_the_spec(wire: Wire, stored: str) -> None:
    code, answer = wire.send(
        "PATCH", f"{stored}?dryRun=All", {"status": {"stage": "x"}}, **{"content-type": "application/merge-patch+json"}
    )
    assert (code, answer.get("status")) == (OK, wire.send("GET", stored)[1].get("status"))
    assert write_status(wire, stored, {}, "dryRun=All")[0] == OK


def test_the_table_of_kubectl(plane: ControlPlane, wire: Wire, stored: str) -> None:
    assert write_status(wire, stored, full_status("Finished"))[0] == OK
    narrow, wide = (plane.kubectl("-n", wire.namespace, "get", "rl", "stored", *more).stdout.splitlines() for more in ((), ("-o", "wide")))
    assert narrow[0].split() == ["NAME", "PHASE", "REASON", "STAGE", "PROGRESS", "ATTEMPT", "AGE"]
    assert narrow[1].split()[:-1] == ["stored", "Succeeded", "Finished", "train", "50%", "2"]
    assert wide[0].split()[7:] == ["QUEUE", "ARTIFACT", "MESSAGE"]
    assert wide[1].split()[7:] == ["team", "sha256:" + "0" * 64, "why"]
    assert "rlrun.astra.dev/stored" in plane.kubectl("-n", wire.namespace, "get", "astra").stdout


# ---- the CRDs themselves


def undescribed(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """Fields without a description in the schema that `kubectl explain` reads."""
    for name, inner in node.get("properties", {}).items():
        if not inner.get("description", "").strip():
            yield f"{path}.{name}"
        yield from undescribed(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from undescribed(node[key], f"{path}[]")


def test_every_field_is_explained(plane: ControlPlane, wire: Wire) -> None:
    schemas = wire.send("GET", "/openapi/v3/apis/astra.dev/v1alpha1")[1]["components"]["schemas"]
    for kind in KINDS:
        fields = schemas[f"dev.astra.v1alpha1.{kind}"]["properties"]
        assert [path for part in ("spec", "status") for path in undescribed(fields[part], f"{kind}.{part}")] == []
    for field, words in (
        ("rlruns.spec.limits.maxRestarts", "Restarts of the whole workload in one attempt"),
        ("sftruns.spec.training.optimizer", "learningRate"),
        ("toolcorpora.spec.pod.volumes", "PersistentVolumeClaim in the same namespace"),
        ("envsyntheses.status.conditions", "lastTransitionTime"),
    ):
        shown = " ".join(plane.kubectl("explain", field).stdout.split())
        assert words in shown, shown


def test_crds_can_be_applied_again_and_updated(plane: ControlPlane) -> None:
    once, again = (
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"), "-o", "json").stdout for _ in "ab"
    )
    versions = [[item["metadata"]["resourceVersion"] for item in json.loads(text)["items"]] for text in (once, again)]
    assert versions[0] == versions[1], "the second apply changed something"
    plane.kubectl("apply", "--dry-run=server", "-f", str(ROOT / "crds"))
    newer = crd("RLRun")
    fields = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["another"] = {"type": "string", "maxLength": 10, "description": "Another."}
    done = plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(newer)
    )
    assert "another" in done.stdout


def test_two_managers_may_own_items_of_one_list(plane: ControlPlane, wire: Wire) -> None:
    for name, manager in (("a", "one"), ("b", "two")):
        volume = {"name": name, "claimName": name, "mountPath": f"/{name}"}
        run = manifest("ToolCorpus", "shared", pod={"volumes": [volume]})
        plane.kubectl("-n", wire.namespace, "apply", "--server-side", "--field-manager", manager, "-f", "-", stdin=json.dumps(run))
    found = wire.send("GET", f"{collection(wire, 'ToolCorpus')}/shared")[1]
    assert [item["name"] for item in found["spec"]["pod"]["volumes"]] == ["a", "b"]
