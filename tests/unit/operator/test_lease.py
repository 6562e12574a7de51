"""The Lease under any interleaving of two operators, lost answers and stopped processes: never two that may write."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_operator import lease as lease_module
from astra_operator.clusters.base import ClusterError, Unreachable
from astra_operator.clusters.kubernetes_calls import Call
from astra_operator.clusters.kubernetes_errors import Answer
from astra_operator.lease import Lease

SECONDS = 15.0


class Server:
    """One Lease, with optimistic locking. ``fault``: nothing, no answer before the call took effect, or none after it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.fault = ""
        self.during = 0.0

    def send(self, call: Call) -> Answer:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise Unreachable("no answer")
        answer = self._answer(call)
        self.time += self.during
        if fault == "after":
            raise Unreachable("no answer")
        return answer

    def _answer(self, call: Call) -> Answer:
        if call.verb == "get":
            return Answer(200, self.stored) if self.stored else Answer(404, {})
        wanted = call.body["metadata"].get("resourceVersion")
        if call.verb == "create" and self.stored:
            return Answer(409, {})
        if call.verb == "update" and (self.stored is None or wanted != self.stored["metadata"]["resourceVersion"]):
            return Answer(409 if self.stored else 404, {})
        self.version += 1
        self.stored = {"metadata": call.body["metadata"] | {"resourceVersion": str(self.version)}, "spec": call.body["spec"]}
        return Answer(200, self.stored)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(lease_module, "boot_clock", lambda: server.time)
    return server


def make(server: Server, name: str) -> Lease:
    return Lease(server, "team", name, SECONDS, lambda namespace, version: None)  # type: ignore[arg-type]


def holder(server: Server) -> str:
    assert server.stored is not None
    return str(server.stored["spec"]["holderIdentity"])


def test_a_free_lease_is_taken_renewed_and_given_up(server: Server) -> None:
    first, second = make(server, "a"), make(server, "b")
    first.tick()
    assert first.held
    for _ in range(10):
        server.time += first.period
        first.tick()
        second.tick()
        assert (first.held, second.held) == (True, False)
    first.release()
    assert not first.held
    second.tick()
    assert second.held
    assert holder(server) == "b"
    assert server.stored is not None
    assert server.stored["spec"]["leaseTransitions"] == 1


def test_a_dead_holders_lease_is_taken_once_its_time_has_passed(server: Server) -> None:
    first, second = make(server, "a"), make(server, "b")
    first.tick()
    second.tick()
    taken = None
    while taken is None:
        server.time += second.period
        second.tick()
        taken = server.time if second.held else None
    assert SECONDS < taken - 1000 <= SECONDS + second.period


def test_a_renewal_without_an_answer_does_not_cost_the_lease(server: Server) -> None:
    first = make(server, "a")
    first.tick()
    for fault in ("after", "before", "after"):
        server.time += first.period
        server.fault = fault
        with pytest.raises(ClusterError):
            first.tick()
        server.time += 0.1
        first.tick()
        assert first.held


def test_the_time_of_a_slow_renewal_counts_from_before_it_was_sent(server: Server) -> None:
    first = make(server, "a")
    server.during = SECONDS
    first.tick()
    assert not first.held


# Around the times that matter: a renewal's, four fifths of the Lease, all of it.
MOVES = st.tuples(
    st.sampled_from("ab"), st.sampled_from(["tick"] * 5 + ["release"]), st.sampled_from([""] * 6 + ["before", "after"]),
    st.sampled_from([0.0, 0.1, 1.0, 3.0, 5.0, 7.0, 11.9, 12.1, 14.9, 15.1, 18.0, 30.0]), st.sampled_from([0.0] * 5 + [3.0, SECONDS]),
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(MOVES, max_size=40))
def test_never_do_two_operators_believe_that_they_may_write(moves: list[tuple[str, str, str, float, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        server = Server()
        patch.setattr(lease_module, "boot_clock", lambda: server.time)
        both = {"a": make(server, "a"), "b": make(server, "b")}
        for name, move, fault, pause, during in moves:
            server.time += pause
            server.fault, server.during = fault, during
            with contextlib.suppress(ClusterError):
                both[name].tick() if move == "tick" else both[name].release()
            assert not (both["a"].held and both["b"].held)
