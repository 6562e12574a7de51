"""The server as a pod runs it: a process of its own that starts or says why not, drains, and leaves no process behind."""

import ctypes
import http.client
import json
import os
import re
import resource
import signal
import tempfile
from pathlib import Path

import pytest

from astra_jobs.sandbox.server.evidence import look
from tests.attacks import place
from tests.e2e.sandbox.server_process import DIGEST, KEY, gone, server, until
from tests.patience import patience


def test_it_starts_serves_and_ends_with_nothing_left(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        assert running.ask("GET", "/readyz")[0] == 200
        assert running.ask("GET", "/v1/capabilities")[1]["walls"]["network"]["holds"] is True
        running.open("a")
        assert [json.loads(running.call("a", seq, "add", x=2)["text"]) for seq in range(3)] == [2, 4, 6]
        processes = running.descendants()
        assert len(processes) >= 3, "base zygote, zygote of the environment, session"
        assert running.ask("DELETE", "/v1/sessions/a")[0] == 204
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0, running.text()
        assert all(map(gone, processes))


@pytest.mark.parametrize(
    ("arguments", "key", "word"),
    [
        ((), None, "key-file"),
        ((), "short", "key-file"),
        (("--require", "moat"), KEY, "moat"),
        (("--port", "x"), KEY, "port"),
        (("--memory-mib", "32"), KEY, "memoryMib"),
    ],
)
def test_it_says_in_one_line_why_it_does_not_start(tmp_path: Path, arguments: tuple[str, ...], key: str | None, word: str) -> None:
    with server(tmp_path, *arguments, key=key) as refused:
        assert refused.process.wait(60) == 78
        assert word in refused.text()
        assert refused.text().count("\n") == 1, refused.text()
        assert KEY not in refused.text()


def test_it_does_not_start_without_the_isolation_it_was_promised(tmp_path: Path) -> None:
    missing = next((name for name, seen in look().items() if not seen.holds), "")
    if not missing:
        pytest.skip("everything that can be promised holds here")
    with server(tmp_path, "--require", f"network,{missing}") as refused:
        assert refused.process.wait(60) == 78
        assert re.search(rf"not started: .*{missing} does not hold: .+; .+", refused.text()), refused.text()


def become_nobody() -> None:
    """Be what a pod of the Pod Security level restricted starts: no root, no capability and none to be gained."""
    libc = ctypes.CDLL(None)
    assert libc.unshare(0x20000) == 0, "mounts of its own, so that an interpreter in root's home can be shown"
    assert libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) == 0
    assert libc.mount(b"none", b"/run", b"tmpfs", 0, b"mode=755") == 0
    place.open_way(*place.NEEDED)
    os.setgroups([])
    os.setresgid(65532, 65532, 65532)
    os.setresuid(65532, 65532, 65532)
    libc.prctl(38, 1, 0, 0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("nobody", "proven", "other"), [(True, "unprivileged", "own-uid"), (False, "own-uid", "unprivileged")])
def test_a_server_proves_the_form_that_its_pod_has_and_not_the_other(nobody: bool, proven: str, other: str) -> None:
    how = {"preexec_fn": become_nobody} if nobody else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder, "--require", proven, **how) as running:
            running.open("a")
            assert running.call("a", 0, "add", x=1)["outcome"] == "ok"
            told = running.ask("GET", "/v1/capabilities")[1]
            assert told["uid"] == ("shared" if nobody else "own")
            assert told["properties"]["unprivileged"]["holds"] is nobody
            assert told["walls"]["own_uid"]["holds"] is not nobody
            assert all(seen["holds"] for wall, seen in told["walls"].items() if seen["evidence"] != "not tested" and wall != "own_uid")
        with server(folder, "--require", other, **how) as refused:
            assert refused.process.wait(60) == 78
            assert f"{other} does not hold" in refused.text()


@pytest.mark.parametrize("variants", [1, 2])
def test_few_descriptors_mean_few_connections_not_lost_sessions(tmp_path: Path, variants: int) -> None:
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))}
    with server(tmp_path, "--live", "8", "--environments", "4", "--variants", str(variants), **few) as running:
        bound = running.ask("GET", "/v1/capabilities")[1]["bounds"]["connections"]
        assert bound == 200 - variants * (8 + 4) - 64
        assert f"{bound} connections" in running.text()
        crowd = [http.client.HTTPConnection("127.0.0.1", running.port(), timeout=patience()) for _ in range(bound - 1)]
        for connection in crowd:
            connection.connect()
        names = [f"s{number}" for number in range(8)]
        running.open(*names)
        assert {running.call(name, 0, "add", x=1)["outcome"] for name in names} == {"ok"}
        for connection in crowd:
            connection.close()


def test_a_port_that_is_taken_may_be_free_later(tmp_path: Path) -> None:
    with server(tmp_path) as running, server(tmp_path, "--port", str(running.port())) as second:
        assert second.process.wait(60) == 75
        assert "address" in second.text()


def test_sigterm_lets_open_sessions_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    with server(tmp_path, "--drain-seconds", "60") as running:
        running.open("a")
        assert running.call("a", 0, "add", x=1)["outcome"] == "ok"
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.ask("GET", "/readyz")[0] == 503)
        assert running.ask("POST", "/v1/sessions", {"sessions": [{"environment": DIGEST, "seed": 2}]})[0] == 429
        assert json.loads(running.call("a", 1, "add", x=1)["text"]) == 2
        assert running.ask("DELETE", "/v1/sessions/a")[0] == 204
        assert running.process.wait(20) == 0


def test_a_drain_ends_at_its_deadline_or_at_a_second_signal(tmp_path: Path) -> None:
    for seconds, signals in (("0.5", 1), ("600", 2)):
        with server(tmp_path, "--drain-seconds", seconds) as running:
            running.open("a")
            assert running.call("a", 0, "add", x=1)["outcome"] == "ok"
            processes = running.descendants()
            running.process.send_signal(signal.SIGTERM)
            until(lambda running=running: running.process.poll() is not None or "draining" in running.text())
            if signals == 2:
                running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(20) == 0
            assert all(map(gone, processes))


def test_a_front_that_is_killed_leaves_no_process_even_of_a_call_that_burns(tmp_path: Path) -> None:
    with server(tmp_path, "--seconds", "60") as running:
        running.open("a", "b")
        assert running.call("b", 0, "add", x=1)["outcome"] == "ok"
        connection = http.client.HTTPConnection("127.0.0.1", running.port(), timeout=patience())
        body = json.dumps({"calls": [{"session": "a", "seq": 0, "tool": "burn", "arguments": {}}]})
        connection.request("POST", "/v1/calls", body, {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
        until(lambda: b"astra_sandbox_pool_busy 1" in running.ask("GET", "/metrics")[1])
        until(lambda: len(running.descendants()) >= 4)
        processes = running.descendants()
        running.process.kill()
        until(lambda: all(map(gone, processes)), 5)
        connection.close()
