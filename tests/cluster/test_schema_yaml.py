"""One table of YAML documents through kubectl and through our reader: the same objects, or a refusal by both."""

import concurrent.futures
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from astra_cli.manifests import BadManifests, load
from astra_cli.yaml12 import read
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.schema_wire import Wire

SCALARS = (
    *("5e-6", "1e3", "1E3", "0.5", ".5", "-.5", "1.", "0.1e1", "1e21", "1e-7", "7", "+7", "-7", "0", "-0", "0.0", "2.0", "1_000"),
    *("0x1f", "0o17", "0o8", "012", "08", "0b11", "1_0.5", "9007199254740993", "9223372036854775807"),
    *("off", "on", "yes", "No", "y", "N", "true", "False", "TRUE", "tRue", "oN", "null", "Null", "~", ""),
    *("1:20", "2026-01-01", "2026-01-01T00:00:00Z", "1.2.3", "500m", "2Gi", "'5'", '"off"', "!!str 5", "!!str off", "!!int 5", "!!float 5"),
    *("[1, a]", "{a: 1}", "{off: 1}", "[]", "{}", "a: b", "'é\\n'", '"\\u00e9\\x41\\t"', "a # b", "a#b", "- a", "@a", "%a", "&a b", "*a"),
    *("|\n    x\n    y\n", ">\n    x\n    y\n", "|-\n    x\n"),
)

CORPUS = (
    "apiVersion: astra.dev/v1alpha1\nkind: ToolCorpus\nmetadata: {name: tools}\nspec:\n  sources: [{name: w, procedural: {servers: 3}}]\n"
)
DOCUMENTS = {
    "plain": CORPUS,
    "rate": CORPUS.replace("servers: 3", "servers: 3, defects: 5e-6"),
    "whole number with a point": CORPUS + "  seed: 2.0\n",
    "whole number with an exponent": CORPUS + "  seed: 1e3\n",
    "octal": CORPUS + "  seed: 012\n",
    "hexadecimal": CORPUS + "  seed: 0x10\n",
    "grouped": CORPUS + "  seed: 1_000\n",
    "fraction for a whole number": CORPUS + "  seed: 2.5\n",
    "too large": CORPUS + "  seed: 1e17\n",
    "number for text": CORPUS + "  rerun: 5\n",
    "date for text": CORPUS + "  rerun: 2026-01-01\n",
    "version for text": CORPUS + "  rerun: 1.2.3\n",
    "truth for text": CORPUS + "  rerun: no\n",
    "off for truth": CORPUS + "  suspend: off\n",
    "yes for truth": CORPUS + "  suspend: yes\n",
    "text for truth": CORPUS + "  suspend: 'off'\n",
    "null": CORPUS + "  pod: null\n",
    "nothing": CORPUS + "  pod:\n",
    "nothing in an unknown field": CORPUS + "  pods:\n",
    "null in a map": CORPUS + "  pod: {nodeSelector: {a: null}}\n",
    "null in a list": CORPUS + "  pod: {tolerations: [null]}\n",
    "key that is a truth value": CORPUS + "  pod: {nodeSelector: {on: a}}\n",
    "key that is a number": CORPUS + "  pod: {nodeSelector: {1: a}}\n",
    "anchor": CORPUS + "  pod: {resources: &r {cpu: '1'}, stages: [{stage: merge, resources: *r}]}\n",
    "merge": CORPUS + "  pod: {resources: &r {cpu: '1', memory: 1Gi}, stages: [{stage: merge, resources: {<<: *r, memory: 2Gi}}]}\n",
    "doubled key": CORPUS + "  seed: 1\n  seed: 2\n",
    "unknown field": CORPUS + "  sed: 1\n",
    "tab": CORPUS + "  pod:\n\t  image: a\n",
    "several": CORPUS + "---\n" + CORPUS.replace("tools", "more") + "---\n",
    "comments and an empty document": "# a\n---\n" + CORPUS + "# b\n---\n# c\n",
    "windows lines": CORPUS.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + CORPUS,
    "JSON": '{"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": {"name": "tools"}, '
    '"spec": {"seed": 1e3, "sources": [{"name": "w", "procedural": {"servers": 3}}]}}',
    "folded text": CORPUS + "  rerun: >-\n    a\n    b\n",
    "unfinished": CORPUS + "  pod: [\n",
}


# kubectl keeps the last of two keys and drops a null before anybody can miss its field; we refuse both, because they are mistakes.
STRICTER = {"doubled key", "nothing in an unknown field"}


@pytest.fixture(scope="module")
def wire(plane: ControlPlane) -> Iterator[Wire]:
    with contextlib.closing(Wire(plane)) as wire:
        yield wire


def text_of(value: Any) -> str:
    """A value as text that tells true from 1 and 1 from 1.0."""
    return json.dumps(value, sort_keys=True)


def values(plane: ControlPlane, scalars: list[str], folder: Path) -> dict[str, Any]:
    """What kubectl makes of scalars, by one call; an object holds each under a name of its own."""
    lines = [f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n{index}}}\na: {text}\n" for index, text in enumerate(scalars)]
    (folder / "all.yaml").write_text("".join(lines))
    shown = plane.kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", str(folder / "all.yaml"), check=False)
    assert shown.returncode == 0, shown.stderr
    return {scalars[int(item["metadata"]["name"][1:])]: item.get("a") for item in stream(shown.stdout)}


def stream(text: str) -> Iterator[Any]:
    """The JSON values that kubectl prints one after another."""
    place = 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        found, place = json.JSONDecoder().raw_decode(text, place)
        yield found


BROKEN = ("a: b", "- a", "@a", "%a", "*a")


def test_scalars_are_what_they_are_to_kubectl(plane: ControlPlane, tmp_path: Path) -> None:
    good = [text for text in SCALARS if text not in BROKEN]
    theirs = values(plane, good, tmp_path)
    ours = {text: next(iter(read(f"a: {text}\n"))).value["a"] for text in good}
    assert {text: text_of(ours[text]) for text in good} == {text: text_of(theirs[text]) for text in good}


def by_kubectl(plane: ControlPlane, namespace: str, file: Path) -> list[Any]:
    """The specs that kubectl would have stored, empty when anything was refused."""
    done = plane.kubectl("-n", namespace, "apply", "--dry-run=server", "-o", "json", "-f", str(file), check=False)
    if done.returncode:
        return []
    found = json.loads(done.stdout)
    return sorted((item["metadata"]["name"], item["spec"]) for item in found.get("items", [found]))


def by_us(file: Path) -> list[Any]:
    """The specs that the command line would run, empty when anything was refused."""
    try:
        return sorted((run["metadata"]["name"], run["spec"]) for run in load([file]).runs)
    except BadManifests:
        return []


def test_documents_mean_the_same_to_kubectl_and_to_us(plane: ControlPlane, wire: Wire, tmp_path: Path) -> None:
    files = {case: tmp_path / f"{index}.yaml" for index, case in enumerate(DOCUMENTS)}
    for case, file in files.items():
        file.write_bytes(DOCUMENTS[case].encode())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        theirs = dict(zip(files, pool.map(lambda file: by_kubectl(plane, wire.namespace, file), files.values()), strict=True))
    ours = {case: by_us(file) for case, file in files.items()}
    assert {case: text_of(ours[case]) for case in files if case not in STRICTER} == {
        case: text_of(theirs[case]) for case in files if case not in STRICTER
    }
    assert {case for case in files if theirs[case] and not ours[case]} == STRICTER
    assert sum(bool(found) for found in ours.values()) > 15
    assert sum(not found for found in ours.values()) > 5
