"""No process of the harness outlives its session, however the session ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.plane.access import wait_for
from tests.cluster.plane.supervise import ProcessEnded, Supervisor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path / "logs")
    yield made
    made.stop()


def stat(pid):
    """Parent and start time of a process, None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), fields[19])


def tree(root):
    """(pid, start time) of every process below `root`, with its command line."""
    known = {pid: found for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if (found := stat(pid))}
    below, fresh = {}, {root}
    while fresh:
        fresh = {pid for pid, (parent, _) in known.items() if parent in fresh}
        below |= {(pid, known[pid][1]): command(pid) for pid in fresh}
    return below


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def alive(processes):
    return {command for (pid, started), command in processes.items() if (found := stat(pid)) and found[1] == started}


def test_killing_pytest_leaves_none_of_its_processes(tmp_path):
    ready = tmp_path / "ready"
    arguments = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}", str(ROOT / "tests/cluster/plane/endless.py")]
    environment = {name: value for name, value in os.environ.items() if name != "ASTRA_TEST_KUBECONFIG"} | {"ASTRA_TEST_READY": str(ready)}
    with (tmp_path / "output").open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for("the child session's control plane is up", lambda: ready.exists() or child.poll() is not None, 600)
        assert child.poll() is None, (tmp_path / "output").read_text()
        wait_for("the stray has lost its parent", lambda: any("sleep 3600" in each for each in tree(child.pid).values()))
        processes = tree(child.pid)
        for name in (
            "etcd ",
            "kube-apiserver ",
            "kube-controller-manager ",
            "kube-scheduler ",
            "training-operator ",
            "supervise.py",
            "sleep 3600",
        ):
            assert any(name in each for each in alive(processes)), f"{name} does not run, so its end would show nothing"
    finally:
        child.kill()
        child.wait()
    wait_for("every process of the killed session is gone", lambda: not alive(processes), 30)


def test_killing_the_supervisor_takes_its_programs_along(supervisor):
    program = supervisor.start("sleep", ["sleep", "3600"])
    processes = {(program.pid, stat(program.pid)[1]): "sleep"}
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for("its program is gone", lambda: not alive(processes), 10)
    with pytest.raises(ProcessEnded, match="the supervisor ended"):
        program.code()


def test_a_program_is_started_signalled_and_told_apart_from_one_that_failed(supervisor, tmp_path):
    fine = supervisor.start("fine", ["/bin/sh", "-c", "echo $WORD; exit 3"], env={"WORD": "hello"}, cwd=tmp_path)
    assert fine.wait(10) == 3
    assert fine.log.read_text() == "hello\n"
    with pytest.raises(ProcessEnded, match=r"fine ended with 3: hello"):
        fine.require()
    endless = supervisor.start("endless", ["sleep", "3600"])
    endless.require()
    assert endless.stop() == -signal.SIGTERM
    endless.signal(signal.SIGKILL)  # of an ended program: reaches nobody
    missing = supervisor.start("missing", ["/no/such/program"])
    assert missing.wait(10) == 127
    assert "cannot start /no/such/program" in missing.log.read_text()


def test_a_program_that_ignores_sigterm_is_killed_with_its_group(supervisor):
    stubborn = supervisor.start("stubborn", ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
    wait_for("the trap is set", lambda: stubborn.log.read_text() == "ready\n")
    assert stubborn.stop(0.3) == -signal.SIGKILL
