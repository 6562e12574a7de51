"""Builds the programs of the test control plane from Go modules, once, into a cache that every checkout and session shares.

A tool's place in the cache is named by the digest of everything that decides its content, so that a change of version never finds an old
build. A build appears under that name only when it is complete; whoever comes second waits for the first. After it, no network is needed.
Go itself is never downloaded: the one on PATH is used, or the one that ASTRA_GO names.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cluster.plane.supervise import Supervisor, tail

MODULES = Path(__file__).parent.parent / "tools"
HOME = Path.home() / ".cache" / "astra"
KUBERNETES = "v1.37.1"
MINUTE = 60.0

Say = Callable[[str], None]


class ToolError(RuntimeError):
    """A tool cannot be built; one line says why and what to do."""


@dataclass(frozen=True)
class Tool:
    """One Go module under tests/cluster/tools and what is made from it."""

    name: str
    package: str  # empty: only the module's files are wanted
    programs: tuple[str, ...]
    minutes: float  # of a cold build on two slow cores, for the progress line
    ldflags: str = "-s -w"
    module: str = ""  # whose folder `files` lie in
    files: tuple[str, ...] = ()  # globs; copied beside the programs
    unsummed: str = ""  # GONOSUMDB: modules that the public checksum database lacks; go.sum still decides


_VERSION = "k8s.io/component-base/version"
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", "go.etcd.io/etcd/server/v3", ("etcd",), 1),
        Tool(
            "kubernetes",
            ".",
            ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
            9,
            # Clients that gate on the server's version misbehave without it.
            f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor={KUBERNETES.split('.')[1]}",
        ),
        Tool(
            "training-operator",
            "github.com/kubeflow/training-operator/cmd/training-operator.v1",
            ("training-operator",),
            2,
            module="github.com/kubeflow/training-operator",
            files=("manifests/base/crds/kubeflow.org_pytorchjobs.yaml", "manifests/base/rbac/*.yaml", "manifests/base/webhook/*.yaml"),
        ),
        Tool(
            "kueue",
            "sigs.k8s.io/kueue/cmd/kueue",
            ("kueue",),
            5,
            module="sigs.k8s.io/kueue",
            files=("config/components/crd/bases/*.yaml", "config/components/rbac/*.yaml", "config/components/webhook/manifests.yaml"),
            unsummed="sigs.k8s.io/scheduler-library",
        ),
        Tool(
            "kwok",
            "sigs.k8s.io/kwok/cmd/kwok",
            ("kwok",),
            2,
            module="sigs.k8s.io/kwok",
            files=("kustomize/stage/*/fast/*.yaml",),
        ),
        Tool("helm", "helm.sh/helm/v4/cmd/helm", ("helm",), 3),
        Tool(
            "prometheus-operator",
            "",
            (),
            0,
            module="github.com/prometheus-operator/prometheus-operator",
            files=(
                "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
                "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            ),
        ),
    )
}


@dataclass(frozen=True)
class Go:
    """The Go that builds the tools."""

    path: str
    version: str

    def environment(self, tool: Tool) -> dict[str, str]:
        """The environment of a build: the caller's, with what must not depend on the caller."""
        fixed = {
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-buildvcs=false -mod=readonly -modcacherw",
            "CGO_ENABLED": "0",
            "GOWORK": "off",
            "GOMODCACHE": str(HOME / "go" / "mod"),
            "GOCACHE": str(HOME / "go" / "build"),
        }
        unsummed = ",".join(filter(None, (os.environ.get("GONOSUMDB"), tool.unsummed)))
        return dict(os.environ) | fixed | {"GONOSUMDB": unsummed}


def needed_go() -> tuple[int, ...]:
    """The newest Go version that a tool's go.mod asks for."""
    found = [re.search(r"^go ([\d.]+)$", (MODULES / name / "go.mod").read_text(), re.MULTILINE) for name in TOOLS]
    return max(_numbers(match.group(1)) for match in found if match)


@cache
def find_go() -> Go:
    """The Go program to use; ToolError with one line when there is none or it is too old."""
    wanted = ".".join(map(str, needed_go()))
    mend = f"install Go {wanted} or newer on PATH, or name it with ASTRA_GO=/path/to/go"
    named = os.environ.get("ASTRA_GO", "go")
    path = shutil.which(named)
    if path is None:
        raise ToolError(f"the cluster tests build Kubernetes from Go modules, and {named} was not found: {mend}")
    asked = subprocess.run([path, "env", "GOVERSION"], capture_output=True, text=True, env=dict(os.environ) | {"GOTOOLCHAIN": "local"})
    version = asked.stdout.strip()
    if asked.returncode != 0 or _numbers(version.removeprefix("go")) < needed_go():
        raise ToolError(f"the cluster tests build Kubernetes from Go modules, and {path} is {version or asked.stderr.strip()}: {mend}")
    return Go(path, version)


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def folder(name: str) -> Path:
    """Where a tool's build lies, or will lie."""
    tool, go = TOOLS[name], find_go()
    digest = hashlib.sha256(f"{tool!r} {go.version} {os.uname().machine}".encode())
    for part in ("go.mod", "go.sum", "main.go"):
        source = MODULES / name / part
        digest.update(source.read_bytes() if source.exists() else b"-")
    return HOME / "tools" / f"{name}-{digest.hexdigest()[:16]}"


def ensure(name: str, say: Say = print) -> Path:
    """Build a tool if the cache lacks it, and return its folder: programs on top, manifests in `manifests`."""
    place = folder(name)
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock(place.parent / f"{place.name}.lock", lambda: say(f"tools: waiting for another build of {name}")):
        if not place.exists():
            _build(TOOLS[name], place, say)
    return place


def program(name: str, say: Say = print) -> Path:
    """The path of one program, built if need be."""
    tool = next(tool for tool in TOOLS.values() if name in tool.programs)
    return ensure(tool.name, say) / name


@contextmanager
def _lock(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    # The kernel frees it when its holder dies, so a killed build blocks nobody.
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, place: Path, say: Say) -> None:
    for left in place.parent.glob(f"{place.name}.part-*"):  # of a killed build: the lock is ours, so nobody works there
        shutil.rmtree(left)
    if tool.package:
        say(f"tools: building {tool.name} from source, once; about {tool.minutes:g} minutes on two cores")
    work = Path(tempfile.mkdtemp(prefix=f"{place.name}.part-", dir=place.parent))
    started = time.monotonic()
    if tool.package:
        _compile(tool, work, say)
    for name in tool.programs[1:]:
        (work / name).symlink_to(tool.programs[0])
    if tool.files:
        _copy_manifests(tool, work)
    os.rename(work, place)
    say(f"tools: {'built' if tool.package else 'fetched'} {tool.name} in {time.monotonic() - started:.0f} s")


def _compile(tool: Tool, work: Path, say: Say) -> None:
    go = find_go()
    command = [go.path, "build", "-trimpath", "-ldflags", tool.ldflags, "-o", str(work / tool.programs[0]), tool.package]
    supervisor = Supervisor(work / "build")  # so that the compilers end with a session that is killed
    try:
        build = supervisor.start("go", command, env=go.environment(tool), cwd=MODULES / tool.name)
        started = time.monotonic()
        while True:
            try:
                code = build.wait(MINUTE)
                break
            except TimeoutError:
                say(f"tools: building {tool.name}, {time.monotonic() - started:.0f} s so far")
        if code != 0:
            raise ToolError(f"tools: {tool.name} did not build: {tail(build.log)}")
    finally:
        supervisor.stop()
    shutil.rmtree(work / "build")


def _copy_manifests(tool: Tool, work: Path) -> None:
    go = find_go()
    command = [go.path, "mod", "download", "-json", tool.module]
    asked = subprocess.run(command, capture_output=True, text=True, env=go.environment(tool), cwd=MODULES / tool.name)
    if asked.returncode != 0:
        raise ToolError(f"tools: {tool.module} could not be fetched: {asked.stderr.strip() or json.loads(asked.stdout)['Error']}")
    source = Path(json.loads(asked.stdout)["Dir"])
    for pattern in tool.files:
        found = sorted(source.glob(pattern))
        if not found:
            raise ToolError(f"tools: {tool.module} has no {pattern}; its layout has changed")
        for path in found:
            target = work / "manifests" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def main() -> int:
    """Build what is named on the command line, or everything."""
    try:
        for name in sys.argv[1:] or TOOLS:
            ensure(name, lambda line: print(line, flush=True))
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"tools: ready in {HOME / 'tools'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
