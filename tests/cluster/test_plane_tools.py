"""The cache of built tools: complete or absent, built once, and one clear line when it cannot be built.

A script plays Go here; the real builds are seen by every other cluster test.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.plane import tools
from tests.cluster.plane.access import wait_for
from tests.patience import patience

ROOT = Path(__file__).parents[2]
GO = """\
#!/bin/sh
if [ "$1" = env ]; then echo "${FAKE_VERSION:-go1.99.1}"; exit; fi
echo "$GOTOOLCHAIN $CGO_ENABLED $GOFLAGS" >> "$FAKE_LOG"
while [ "$1" != -o ]; do shift; done
echo half > "$2"
while [ -n "$FAKE_WAIT" ] && [ ! -e "$FAKE_WAIT" ]; do sleep 0.05; done
echo whole > "$2"
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """A Go whose builds are counted in a file, and a home without cache."""
    script = tmp_path / "go"
    script.write_text(GO)
    script.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASTRA_GO", str(script))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "builds"))
    monkeypatch.setattr(tools, "HOME", tmp_path / ".cache" / "astra")
    tools.find_go.cache_clear()
    yield tmp_path
    tools.find_go.cache_clear()


def builder(**more):
    code = "from tests.cluster.plane import tools; print(tools.ensure('etcd', lambda line: None))"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ) | more, stdout=subprocess.PIPE, text=True)


def compilers(home):
    """Processes that run the Go of this home."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            lines.append(file.read_text(errors="replace"))
    return [line for line in lines if f"{home}/go\0build" in line]


def builds(home):
    log = home / "builds"
    return log.read_text().splitlines() if log.exists() else []


def test_a_build_is_reproducible_by_settings_and_done_once(go):
    said = []
    place = tools.ensure("etcd", said.append)
    assert (place / "etcd").read_text() == "whole\n"
    assert tools.ensure("etcd", said.append) == place
    assert builds(go) == ["local 0 -buildvcs=false -mod=readonly -modcacherw"]
    assert [line.split(" from")[0] for line in said[:1]] == ["tools: building etcd"]


def test_two_sessions_at_once_build_once(go):
    gate = go / "gate"
    both = [builder(FAKE_WAIT=str(gate)) for _ in range(2)]
    wait_for("a build has begun", lambda: builds(go))
    gate.touch()
    places = {each.communicate(timeout=patience())[0].strip() for each in both}
    assert len(places) == 1
    assert (Path(places.pop()) / "etcd").read_text() == "whole\n"
    assert len(builds(go)) == 1


def test_a_killed_build_leaves_nothing_that_looks_finished(go):
    killed = builder(FAKE_WAIT=str(go / "never"))
    half = wait_for("a half build", lambda: list((go / ".cache/astra/tools").glob("*.part-*/etcd")), 60)
    assert compilers(go), "no compiler runs, so its end would show nothing"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    wait_for("its compiler is gone", lambda: not compilers(go), 20)
    assert not tools.folder("etcd").exists()
    place = tools.ensure("etcd", lambda line: None)
    assert (place / "etcd").read_text() == "whole\n"
    assert not half[0].exists()


def test_a_change_of_version_finds_no_old_build(go, tmp_path, monkeypatch):
    before = tools.folder("etcd")
    changed = tmp_path / "modules"
    for name in tools.TOOLS:
        (changed / name).mkdir(parents=True)
        (changed / name / "go.mod").write_bytes((tools.MODULES / name / "go.mod").read_bytes() + b"\n// changed\n")
    monkeypatch.setattr(tools, "MODULES", changed)
    assert tools.folder("etcd") != before


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"ASTRA_GO": "/nowhere/go"}, "/nowhere/go was not found"),
        ({"FAKE_VERSION": "go1.22.3"}, "is go1.22.3"),
    ],
)
def test_one_line_says_which_go_is_needed(go, settings, found):
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.plane.tools"], cwd=ROOT, env=dict(os.environ) | settings, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    wanted = ".".join(map(str, tools.needed_go()))
    assert found in line
    assert line.endswith(f"install Go {wanted} or newer on PATH, or name it with ASTRA_GO=/path/to/go")


def test_every_sum_is_committed_and_the_pins_are_those_that_run(go):
    pins = {
        "etcd": "go.etcd.io/etcd/server/v3 v3.7.3",
        "kubernetes": f"k8s.io/kubernetes {tools.KUBERNETES}",
        "training-operator": "github.com/kubeflow/training-operator v1.9.4",
        "kueue": "sigs.k8s.io/kueue v0.19.2",
        "kwok": "sigs.k8s.io/kwok v0.7.0",
        "helm": "helm.sh/helm/v4 v4.3.1",
        "prometheus-operator": "github.com/prometheus-operator/prometheus-operator v0.92.1",
    }
    assert pins.keys() == tools.TOOLS.keys()
    for name, pin in pins.items():
        assert pin in (tools.MODULES / name / "go.mod").read_text()
        assert f"{pin} h1:" in (tools.MODULES / name / "go.sum").read_text()
