"""Pods as real processes: exit codes, results, kills, and a kubelet that starts anew and finds everything."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from astra_operator.clusters.local_launch import POD_MARK
from astra_operator.clusters.processes import Kubelet, address_of, marked_processes
from tests.patience import patience

ENV = {"PATH": os.environ["PATH"]}
ADDRESS = "127.50.0.1"


def pod(*command: str, uid: str = "u1", grace: float = 5, **box: Any) -> dict[str, Any]:
    container = {
        "name": "job",
        "command": list(command),
        "workingDir": "/astra",
        "terminationMessagePath": "/astra/result.json",
        "volumeMounts": [{"name": "request", "mountPath": "/astra/in"}, {"name": "out", "mountPath": "/astra/out"}],
        **box,
    }
    volumes = [{"name": "request", "configMap": {"name": "c"}}, {"name": "out", "emptyDir": {}}]
    metadata = {"name": "p", "namespace": "default", "uid": uid, "labels": {"a": "b"}, "annotations": {}}
    return {"metadata": metadata, "spec": {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": grace}}


def sh(script: str, **more: Any) -> dict[str, Any]:
    return pod("sh", "-c", script, **more)


CONFIG = {"c": {"request.json": '{"a": 1}'}}


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    found = Kubelet(tmp_path / "pods", ENV)
    yield found
    for uid in found.known():
        found.kill(uid)
        own = found._own.get(uid)
        if own is not None:
            own.wait()


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + patience(seconds)
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.01)
    return found


def finish(kubelet: Kubelet, uid: str = "u1") -> dict[str, Any]:
    until(lambda: kubelet.status(uid)["phase"] in ("Succeeded", "Failed"))
    return kubelet.status(uid)


def terminated(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = status["containerStatuses"][0]["state"]["terminated"]
    return found


def test_pod_sees_its_volumes_and_leaves_a_result(kubelet: Kubelet) -> None:
    kubelet.start(sh("cat in/request.json; echo done > out/x; printf '{\"ok\":1}' > result.json"), ADDRESS, CONFIG)
    status = finish(kubelet)
    assert status["phase"] == "Succeeded"
    assert terminated(status)["exitCode"] == 0
    assert terminated(status)["message"] == '{"ok":1}'
    assert status["podIP"] == ADDRESS
    assert (kubelet.home("u1") / "root/out/x").read_text() == "done\n"
    assert kubelet.last_lines("u1") == '{"a": 1}'


@pytest.mark.parametrize("code", [1, 75, 78, 85])
def test_exit_code_is_kept(kubelet: Kubelet, code: int) -> None:
    kubelet.start(sh(f"echo oops >&2; exit {code}"), ADDRESS, CONFIG)
    status = finish(kubelet)
    assert (status["phase"], terminated(status)["exitCode"], terminated(status)["reason"]) == ("Failed", code, "Error")
    assert kubelet.last_lines("u1") == "oops"


def test_result_is_cut_to_what_kubernetes_keeps(kubelet: Kubelet) -> None:
    kubelet.start(sh("head -c 5000 /dev/zero | tr '\\0' x > result.json"), ADDRESS, CONFIG)
    assert len(terminated(finish(kubelet))["message"]) == 4096


def test_environment_comes_from_the_pod_and_its_fields(kubelet: Kubelet) -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
    ]
    kubelet.start(sh("echo $A $IP $NAME $LABEL $HOME", env=env), ADDRESS, CONFIG)
    finish(kubelet)
    assert kubelet.last_lines("u1") == f"1 {ADDRESS} p b"


def test_astra_job_is_this_interpreter(kubelet: Kubelet) -> None:
    kubelet.start(pod("astra-job", "--help"), ADDRESS, CONFIG)
    shim = Path(f"/proc/{kubelet._own['u1'].pid}/cmdline")
    command = until(shim.read_bytes).split(b"\0")  # empty for a moment while the program is being loaded
    assert command[-6:-1] == [sys.executable.encode(), b"-P", b"-m", b"astra_jobs.runtime.main", b"--help"]
    finish(kubelet)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"command": ["no-such-program"]}, "no-such-program: no such program on PATH"),
        ({"command": []}, "no command"),
        ({"volumeMounts": [{"name": "request", "mountPath": "/elsewhere"}]}, "/elsewhere is not under the working folder /astra"),
        ({"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "env K:"),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "envFrom"),
    ],
)
def test_pod_that_cannot_run_says_why(kubelet: Kubelet, broken: dict[str, Any], words: str) -> None:
    item = sh("true")
    item["spec"]["containers"][0] |= broken
    kubelet.start(item, ADDRESS, CONFIG)
    status = kubelet.status("u1")
    assert status["phase"] == "Failed"
    assert words in status["message"]


def test_missing_config_is_named(kubelet: Kubelet) -> None:
    kubelet.start(sh("true"), ADDRESS, {})
    assert kubelet.status("u1")["message"] == "ConfigMap c does not exist"


def test_stop_lets_the_job_end_in_its_own_way(kubelet: Kubelet) -> None:
    kubelet.start(sh("trap 'echo saved > out/saved; exit 85' TERM; touch out/ready; while :; do sleep 0.05; done"), ADDRESS, CONFIG)
    until((kubelet.home("u1") / "root/out/ready").exists)
    kubelet.stop("u1", "Shutdown")
    status = finish(kubelet)
    assert terminated(status)["exitCode"] == 85
    assert status["reason"] == "Shutdown"
    assert (kubelet.home("u1") / "root/out/saved").exists()


def test_stop_kills_after_the_grace_period(kubelet: Kubelet) -> None:
    kubelet.start(sh("trap '' TERM; touch out/ready; while :; do sleep 0.05; done", grace=0.2), ADDRESS, CONFIG)
    until((kubelet.home("u1") / "root/out/ready").exists)
    kubelet.stop("u1")
    until(lambda: kubelet.tick() or not kubelet.running("u1"))
    assert terminated(kubelet.status("u1"))["exitCode"] == 137
    until(lambda: kubelet.gone("u1"))


def test_what_a_job_leaves_behind_ends_with_it(kubelet: Kubelet) -> None:
    script = "sleep 60 & setsid sleep 60 & touch out/ready; exit 0"
    kubelet.start(sh(script), ADDRESS, CONFIG)
    finish(kubelet)
    kubelet.tick()
    until(lambda: not list(marked_processes("u1")))


def test_killed_job_reports_its_signal(kubelet: Kubelet) -> None:
    kubelet.start(sh("kill -SEGV $$"), ADDRESS, CONFIG)
    ended = terminated(finish(kubelet))
    assert (ended["exitCode"], ended["signal"]) == (139, 11)


def test_killed_group_is_137_for_the_kubelet_that_saw_it(kubelet: Kubelet) -> None:
    kubelet.start(sh("sleep 60"), ADDRESS, CONFIG)
    os.killpg(kubelet._own["u1"].pid, signal.SIGKILL)
    assert terminated(finish(kubelet))["exitCode"] == 137


OTHER = """
import sys; from pathlib import Path
from astra_operator.clusters.processes import Kubelet
sys.path.insert(0, {here!r})
from test_kubelet import CONFIG, ENV, sh
kubelet = Kubelet(Path({folder!r}), ENV)
kubelet.start(sh({script!r}), "127.50.0.2", CONFIG)
print("started", flush=True)
sys.stdin.read()
"""


def kubelet_that_dies(folder: Path, script: str) -> None:
    """Start a pod from another process and kill that process with -9."""
    code = OTHER.format(here=str(Path(__file__).parent), folder=str(folder), script=script)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == b"started\n"
    os.killpg(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    other.stdin.close()


def test_new_kubelet_adopts_running_pods_and_reads_their_end(kubelet: Kubelet) -> None:
    kubelet_that_dies(kubelet.folder, "while [ ! -e out/go ]; do sleep 0.02; done; printf fine > result.json; exit 3")
    assert kubelet.status("u1")["phase"] == "Running"
    kubelet.start(sh("exit 0"), ADDRESS, CONFIG)  # already started: nothing happens
    (kubelet.home("u1") / "root/out/go").touch()
    status = finish(kubelet)
    assert (terminated(status)["exitCode"], terminated(status)["message"], status["podIP"]) == (3, "fine", "127.50.0.2")


def test_new_kubelet_stops_an_adopted_pod(kubelet: Kubelet) -> None:
    kubelet_that_dies(kubelet.folder, "trap 'exit 85' TERM; touch out/ready; while :; do sleep 0.05; done")
    until((kubelet.home("u1") / "root/out/ready").exists)
    kubelet.stop("u1")
    assert terminated(finish(kubelet))["exitCode"] == 85


def test_pod_that_died_with_its_kubelet_is_lost(kubelet: Kubelet) -> None:
    kubelet_that_dies(kubelet.folder, "touch out/ready; sleep 60")
    until((kubelet.home("u1") / "root/out/ready").exists)
    os.killpg(int((kubelet.home("u1") / "pid").read_text()), signal.SIGKILL)
    status = finish(kubelet)
    assert (status["phase"], status["reason"]) == ("Failed", "NodeLost")
    assert kubelet.status("u1") == status


def test_pod_whose_start_was_cut_short_is_started_again(kubelet: Kubelet) -> None:
    home = kubelet.home("u1")
    home.mkdir()
    (home / "record.json").write_text('{"address": "127.50.0.9", "startTime": "2030-01-01T00:00:00Z"}')
    assert kubelet.status("u1") == {"phase": "Pending"}
    kubelet.start(sh("exit 0"), ADDRESS, CONFIG)
    assert finish(kubelet)["phase"] == "Succeeded"


def test_log_outlives_the_pod(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.start(sh("echo hello"), ADDRESS, CONFIG)
    finish(kubelet)
    kubelet.forget("u1", tmp_path / "logs" / "p.log")
    assert (tmp_path / "logs" / "p.log").read_text() == "hello\n"
    assert kubelet.known() == []


def test_addresses_are_loopback_and_distinct() -> None:
    first = address_of("a", set())
    assert first.startswith("127.")
    assert first == address_of("a", set())
    assert address_of("a", {first}) != first
    assert POD_MARK
