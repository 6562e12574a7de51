"""A team's settings: read rarely, whoever needs them, and trusted for a while when the API server does not answer."""

from typing import Any, cast

import pytest

from astra_operator.clusters import kubernetes_team
from astra_operator.clusters.base import Refused, Unreachable
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_errors import Answer

GOOD = Answer(200, {"data": {"storeUrl": "memory://one"}})
DENIED = Answer(403, {"message": "no rights"})


class Server:
    """Answers every call with ``answer``, at the time ``now``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Answer | Exception = GOOD
        self.asked = 0
        self.now = 1000.0
        self.reader = kubernetes_team.TeamReader(cast(Calls, self))
        monkeypatch.setattr(kubernetes_team.time, "monotonic", lambda: self.now)

    def send(self, call: Call) -> Answer:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def team(self, after: float = 0.0) -> Any:
        self.now += after
        return self.reader.settings("team")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_they_are_asked_for_every_ten_seconds_at_most(server: Server) -> None:
    for _ in range(5):
        assert server.team(after=1) == {"storeUrl": "memory://one"}
    assert server.asked == 1
    server.team(after=10)
    assert server.asked == 2


def test_what_was_read_last_counts_for_a_minute_when_there_is_no_answer(server: Server) -> None:
    server.team()
    server.answer = Unreachable("away", 1.0)
    for _ in range(5):
        assert server.team(after=10) == {"storeUrl": "memory://one"}
    assert server.asked == 6
    with pytest.raises(Unreachable, match="away"):
        server.team(after=11)


@pytest.mark.parametrize(("answer", "error"), [(Unreachable("away"), Unreachable), (DENIED, Refused)])
def test_a_failure_is_kept_as_long_and_then_asked_again(server: Server, answer: Answer | Exception, error: type[Exception]) -> None:
    server.answer = answer
    for _ in range(3):
        with pytest.raises(error):
            server.team(after=1)
    assert server.asked == 1
    server.answer = GOOD
    assert server.team(after=10) == {"storeUrl": "memory://one"}


def test_lost_rights_are_no_missing_answer(server: Server) -> None:
    server.team()
    server.answer = DENIED
    with pytest.raises(Refused):
        server.team(after=11)
