"""What can be said of the Containerfiles without building them: what they copy is there, what they install is enough for what they run."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from astra_operator.settings import TeamSettings
from tests.patience import patience

ROOT = Path(__file__).parents[3]
FILES = {file.parent.name: file for file in sorted((ROOT / "images").glob("*/Containerfile"))}
NAME = "astra-on-kubernetes"
RUNS = {
    "operator": ["astra_operator.__main__"],
    "jobs": [
        "astra_jobs.runtime.main",
        "s3fs",
        "astra_jobs.toolcorpus.job",
        "astra_jobs.chains.job",
        "astra_jobs.envs.job",
        "astra_jobs.report.job",
    ],
    "sandbox": ["astra_jobs.sandbox.server.__main__"],
}
"""What a container of each image imports; the trainers' imports are what their extra is named for, and take long."""
each = pytest.mark.parametrize("image", FILES)


def instructions(image: str) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n", " ", FILES[image].read_text()).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line and not line.startswith("#")]


def of(image: str, word: str) -> list[str]:
    return [rest for first, rest in instructions(image) if first == word]


def extras(image: str) -> list[str]:
    (found,) = [rest.removeprefix("EXTRAS=") for rest in of(image, "ARG") if rest.startswith("EXTRAS=")]
    return found.split(",")


def test_there_is_an_image_for_each_that_is_run() -> None:
    assert set(FILES) == set(RUNS)


@each
def test_what_is_copied_is_there_and_reaches_the_build(image: str) -> None:
    sources = [source for rest in of(image, "COPY") if not rest.startswith("--from") for source in rest.split()[:-1]]
    assert {"pyproject.toml", "constraints.txt", "astra_jobs", "operator"} <= set(sources)
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in let_through, f"{source} is ignored"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {package.split("/")[0] for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert needed | {project["project"]["readme"], *project["project"]["license-files"]} <= set(sources)


@each
def test_it_is_pinned_and_not_root(image: str) -> None:
    assert of(image, "ARG")[0] == "BASE=python:3.11-slim"
    assert of(image, "FROM") == ["${BASE} AS build", "${BASE}"]
    assert "pip install --no-cache-dir --constraint constraints.txt" in of(image, "RUN")[0]
    (user,) = of(image, "USER")
    assert user == "65532:65532"
    assert user.partition(":")[0] == TeamSettings.model_fields["pod_user"].default, "what pods say and what images say is one"
    assert instructions(image)[-2][0] == "USER", "what comes after it would run as another"


def closure(names: list[str]) -> set[str]:
    """Return the distributions that these extras bring: ours by pyproject.toml, others by the metadata of what is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    waiting = [(NAME, frozenset(names))]
    seen = set(waiting)
    while waiting:
        name, chosen = waiting.pop()
        found.add(name)
        own = [*project["dependencies"], *(text for extra in chosen for text in project["optional-dependencies"].get(extra, ()))]
        for text in own if name == NAME else distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
                continue
            entry = (canonical(requirement.name), frozenset(requirement.extras))
            if entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


BLOCKED = """
import json, sys

ABSENT = frozenset(json.loads(sys.argv[1]))

class Present:
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Present(finder) for finder in sys.meta_path]
"""


def imported(modules: list[str], names: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules where nothing can be imported but what these extras bring."""
    there = closure(names)
    absent = [top for top, owners in packages_distributions().items() if not {canonical(owner) for owner in owners} & there]
    code = f"{BLOCKED}\nimport {', '.join(modules)}"
    return subprocess.run([sys.executable, "-c", code, json.dumps(absent)], capture_output=True, text=True, cwd=ROOT, timeout=patience())


@each
def test_what_it_installs_is_enough_for_what_it_runs(image: str) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras(image)) <= set(known)
    done = imported(RUNS[image], extras(image))
    assert done.returncode == 0, done.stderr


def test_what_is_not_installed_is_noticed() -> None:
    assert "No module named 'kopf'" in imported(RUNS["operator"], ["sandbox"]).stderr


def test_too_few_extras_are_noticed() -> None:
    assert "kopf" in closure(["operator"])
    assert "kopf" not in closure(["sandbox"])
    assert "torch" not in closure(["operator"]) | closure(["sandbox"]) | closure(["synthesis"])


@each
def test_its_command_is_there(image: str) -> None:
    (command,) = [json.loads(rest) for rest in of(image, "CMD")]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module = command[2] if command[:2] == ["python", "-m"] else scripts[command[0]].split(":")[0]
    assert RUNS[image][0] in (module, f"{module}.__main__")
