"""What becomes of an answer, and of none: a small server misbehaves as networks and overloaded API servers do."""

import contextlib
import email.utils
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kubernetes.client import ApiClient, Configuration

from astra_operator.clusters.base import ClusterError, Refused, Unreachable
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes import ClusterHooks, KubernetesCluster
from astra_operator.clusters.kubernetes_calls import Call, Calls, connect
from astra_operator.clusters.kubernetes_errors import Answer, failure, hint_seconds
from astra_operator.clusters.kubernetes_progress import fetch
from tests.patience import patience

Reply = Callable[[socket.socket], None]
GET = Call("get", "things", "/things")


def read_request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := stream.readline()):
            head += line
        found = re.search(rb"Content-Length: (\d+)", head)
        return head + stream.read(int(found[1]) if found else 0)


class Server:
    """Answers each connection's first request with ``reply``; ``requests`` keeps the request lines and headers that came."""

    def __init__(self) -> None:
        self.reply: Reply = lambda connection: None
        self.requests: list[bytes] = []
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.requests.append(read_request(connection))
            self.reply(connection)

    def hang(self, connection: socket.socket) -> None:
        self._ended.wait(30)

    def drip(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while not self._ended.wait(0.05):
            connection.sendall(b"x")

    def settle(self) -> None:
        """Wait until every answer has been given and its connection closed."""
        for thread in self._threads[1:]:
            thread.join(10)

    def close(self) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as found:
        yield found


@pytest.fixture
def api(server: Server) -> Iterator[ApiClient]:
    settings = Configuration(host=f"http://127.0.0.1:{server.port}/")
    settings.proxy = None
    with ApiClient(settings) as client:
        yield client


def says(status: int, body: object, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"kind":')


def cut_chunk(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"kind":')


@pytest.mark.parametrize("verb", ["get", "list", "create", "update", "patch", "delete"])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (says(429, {"message": "slow down", "reason": "TooManyRequests"}), "429 slow down"),
        (says(500, {"message": "etcdserver: leader changed"}), "500 etcdserver: leader changed"),
        (says(503, b"no endpoints"), "503 no endpoints"),
        (says(504, {}), "504 status 504"),
        (says(302, b"", Location="http://127.0.0.1:1/"), "302"),
        (says(200, b'{"kind":'), "not a JSON object"),
        (says(200, b"[1]"), "not a JSON object"),
        (says(200, b""), "not a JSON object"),
        (cut, "IncompleteRead"),
        (cut_chunk, "ProtocolError"),
        (reset, "ProtocolError"),
        (lambda connection: None, "ProtocolError"),
    ],
)
def test_no_sound_answer_is_unreachable_and_not_asked_for_again(
    server: Server, api: ApiClient, verb: str, reply: Reply, words: str
) -> None:
    server.reply = reply
    body = None if verb in ("get", "list") else {"a": 1}
    with pytest.raises(Unreachable, match=words):
        Calls(api, lambda *call: None).send(Call(verb, "things", "/things", body=body))
    assert len(server.requests) == 1


def test_a_server_that_hangs_is_left_in_time(server: Server, api: ApiClient) -> None:
    server.reply = server.hang
    started = time.monotonic()
    with pytest.raises(Unreachable, match="ReadTimeoutError"):
        Calls(api, lambda *call: None, read_seconds=0.3).send(GET)
    assert time.monotonic() - started < patience()


def test_nobody_there(server: Server, api: ApiClient) -> None:
    server.close()
    server.close = lambda: None  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="refused"):
        Calls(api, lambda *call: None).send(GET)


def test_a_connection_that_the_server_closed_between_calls_is_not_used_again(server: Server, api: ApiClient) -> None:
    server.reply = lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")  # kept alive, and then closed
    calls = Calls(api, lambda *call: None)
    for number in range(1, 4):
        assert calls.send(Call("create", "things", "/things", body={})).code == 200
        server.settle()
        assert len(server.requests) == number


def test_the_wait_that_the_server_asks_for_is_told(server: Server, api: ApiClient) -> None:
    server.reply = says(429, {}, Retry_After="7")
    with pytest.raises(Unreachable) as told:
        Calls(api, lambda *call: None).send(GET)
    assert told.value.after == 7.0


def test_hints() -> None:
    assert hint_seconds("") == 0.0
    assert hint_seconds("soon") == 0.0
    assert hint_seconds("-3") == 0.0
    assert hint_seconds("100000") == 300.0
    assert 20 < hint_seconds(email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30
    assert hint_seconds(email.utils.formatdate(time.time() - 30, usegmt=True)) == 0.0


def test_every_call_is_counted(server: Server, api: ApiClient) -> None:
    seen: list[tuple[str, str, int]] = []
    calls = Calls(api, lambda verb, resource, code, seconds: seen.append((verb, resource, code)))
    server.reply = says(200, {"kind": "Thing"})
    assert calls.send(GET) == Answer(200, {"kind": "Thing"})
    server.reply = says(404, {"message": "no"})
    assert calls.send(GET).code == 404
    for reply in (says(503, {}), reset):
        server.reply = reply
        with pytest.raises(Unreachable):
            calls.send(GET)
    assert seen == [("get", "things", code) for code in (200, 404, 503, 0)]


def test_a_request_carries_credentials_query_and_body(server: Server, api: ApiClient) -> None:
    api.configuration.api_key["authorization"] = "secret"
    api.configuration.api_key_prefix["authorization"] = "Bearer"
    server.reply = says(200, {})
    Calls(api, lambda *call: None).send(
        Call("patch", "things", "/things/a", {"fieldManager": "m", "x": "a b"}, {"b": "ä"}, "application/x")
    )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PATCH /things/a?fieldManager=m&x=a+b HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer secret\r\n" in head + b"\r\n"
    assert b"\r\nContent-Type: application/x\r\n" in head + b"\r\n"
    assert json.loads(body) == {"b": "ä"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(400, Refused), (403, Refused), (404, Refused), (413, Refused), (422, Refused), (401, ClusterError), (409, ClusterError)],
)
def test_other_failures_are_told_apart(code: int, kind: type[Exception]) -> None:
    error = failure("Job a/b", Answer(code, {"message": "its\n own  words"}))
    assert type(error) is kind
    assert "its own words" in str(error)


def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(ClusterError, match=r"KUBECONFIG .*/none: .*; name a readable kubeconfig"):
        connect(tmp_path / "none", 4)
    (tmp_path / "broken").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(ClusterError, match=r"KUBECONFIG .*/broken"):
        connect(tmp_path / "broken", 4)
    (tmp_path / "garbage").write_text(": [")
    with pytest.raises(ClusterError, match=r"KUBECONFIG .*/garbage"):
        connect(tmp_path / "garbage", 4)
    with pytest.raises(ClusterError, match="in-cluster configuration"):
        connect(None, 4)


# ---- what the cluster makes of lists and discovery


def test_a_list_that_expires_half_way_starts_again(server: Server, api: ApiClient) -> None:
    def page(connection: socket.socket) -> None:
        line = server.requests[-1].split(b"\r\n")[0]
        if b"continue=old" in line:
            says(410, {"reason": "Expired"})(connection)
        elif b"continue" in line or b"configmaps" not in line:
            says(200, {"metadata": {"resourceVersion": "9"}, "items": [], "resources": []})(connection)
        else:
            token = "old" if len([1 for request in server.requests if b"configmaps" in request]) == 1 else "new"
            says(200, {"metadata": {"resourceVersion": "9", "continue": token}, "items": []})(connection)

    server.reply = page
    KubernetesCluster(api, Index()).resync(["n"])
    asked = [request.split(b" ")[1].decode() for request in server.requests if b"configmaps" in request]
    assert [line.partition("&continue=")[2] for line in asked] == ["", "old", "", "new"]
    assert all("labelSelector=astra.dev%2Frun-uid" in line and "limit=500" in line for line in asked)


def test_a_list_that_always_expires_is_given_up(server: Server, api: ApiClient) -> None:
    server.reply = says(410, {"message": "too old"})
    with pytest.raises(ClusterError, match="too old"):
        KubernetesCluster(api, Index()).resync(["n"])
    assert len(server.requests) == 4


def test_what_is_not_served_is_asked_for_again_only_after_a_while(server: Server, api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    cluster = KubernetesCluster(api, Index())
    monkeypatch.setattr("astra_operator.clusters.kubernetes.time.monotonic", lambda: clock[0])
    server.reply = says(404, {})
    for _ in range(5):
        assert not cluster.serves("g/v1", "Thing")
    assert len(server.requests) == 1
    server.reply = says(200, {"resources": [{"kind": "Thing"}]})
    clock[0] += 31
    for _ in range(5):
        assert cluster.serves("g/v1", "Thing")
    assert len(server.requests) == 2
    clock[0] += 300
    assert cluster.serves("g/v1", "Thing")
    assert len(server.requests) == 2
    clock[0] += 301
    server.reply = says(404, {})
    assert not cluster.serves("g/v1", "Thing")


@pytest.mark.parametrize(("allowed", "missed"), [(True, 1), (False, 0)])
def test_an_event_that_may_not_come_is_not_missed(server: Server, api: ApiClient, allowed: bool, missed: int) -> None:
    clock = [0.0]
    index = Index(grace=10, clock=lambda: clock[0])
    metadata = {"name": "tools", "namespace": "n", "uid": "1", "resourceVersion": "5", "generation": 1}

    def answer(connection: socket.socket) -> None:
        line = server.requests[-1].split(b"\r\n")[0]
        if b"selfsubjectaccessreviews" in line:
            says(201, {"status": {"allowed": allowed}})(connection)
        else:
            items = [{"metadata": metadata, "spec": {}}] if b"toolcorpora" in line else []
            says(200, {"metadata": {"resourceVersion": "9"}, "items": items, "resources": []})(connection)

    server.reply = answer
    cluster = KubernetesCluster(api, index)
    assert cluster.resync(["n"])[1] == 0
    clock[0] = 11
    assert cluster.resync(["n"])[1] == missed
    (asked,) = [request for request in server.requests if b"selfsubjectaccessreviews" in request]
    wanted = {"group": "astra.dev", "resource": "toolcorpora", "verb": "watch", "namespace": "n"}
    assert json.loads(asked.split(b"\r\n\r\n")[1])["spec"]["resourceAttributes"] == wanted


def test_nothing_is_sent_to_a_namespace_whose_lease_is_not_held(server: Server, api: ApiClient) -> None:
    cluster = KubernetesCluster(api, Index(), ClusterHooks(may_write=lambda namespace: namespace == "mine"))
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "theirs", "uid": "1", "resourceVersion": "1"}}
    for write in (
        lambda: cluster.apply([item], item),
        lambda: cluster.delete(item),
        lambda: cluster.write_status(item, {}),
    ):
        with pytest.raises(ClusterError, match="namespace theirs: this operator does not hold its Lease"):
            write()
    assert server.requests == []


def test_an_answer_to_a_deletion_that_cannot_be_ordered_is_asked_about(server: Server, api: ApiClient) -> None:
    metadata = {"name": "a", "namespace": "n", "uid": "1", "labels": {"astra.dev/run-uid": "9"}}
    item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata | {"resourceVersion": "7"}}
    ending = item | {"metadata": metadata | {"resourceVersion": "8", "deletionTimestamp": "2026-11-21T00:00:00Z"}}

    def reply(connection: socket.socket) -> None:
        deletes = server.requests[-1].startswith(b"DELETE")
        says(200, item | {"metadata": metadata} if deletes else ending)(connection)

    server.reply = reply
    cluster = KubernetesCluster(api, Index())
    cluster.index.put(item)
    cluster.delete(item)
    found = cluster.index.find("Job", "n", "a")
    assert found is not None
    assert found["metadata"]["deletionTimestamp"]
    assert [request.split(b" ")[0] for request in server.requests] == [b"DELETE", b"GET"]


# ---- pods are asked, not believed


def ask(server: Server, limit: int = 100, seconds: float = 2.0) -> bytes | None:
    return fetch("127.0.0.1", server.port, "/progress", limit, seconds)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (says(200, b"fine"), b"fine"),
        (lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nto the end"), b"to the end"),
        (says(200, b"x" * 100), b"x" * 100),
        (says(200, b"x" * 101), None),
        (lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1_000_000), None),
        (says(404, b"no"), None),
        (says(302, b"", Location="http://127.0.0.1/"), None),
        (cut, None),
        (lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx"), None),
        (lambda connection: connection.sendall(b"nonsense\r\n\r\n"), None),
        (lambda connection: connection.sendall(b"\x00" * 200), None),
        (lambda connection: None, None),
        (reset, None),
    ],
)
def test_a_pod_s_answer_is_taken_whole_or_not_at_all(server: Server, reply: Reply, answer: bytes | None) -> None:
    server.reply = reply
    assert ask(server) == answer
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_pod_cannot_hold_its_caller(server: Server, how: str) -> None:
    server.reply = getattr(server, how)
    started = time.monotonic()
    assert ask(server, limit=10**6, seconds=0.5) is None
    assert time.monotonic() - started < patience()


def test_nobody_listens_at_the_pod(server: Server) -> None:
    server.close()
    server.close = lambda: None  # type: ignore[method-assign]
    assert ask(server) is None
