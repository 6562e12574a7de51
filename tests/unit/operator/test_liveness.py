"""The probe: what turns it red, and what must not."""

from astra_operator.liveness import Liveness


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_version_that_comes_back_in_time_is_well() -> None:
    clock = Clock()
    liveness = Liveness(10, 100, clock)
    for version in range(1, 20):
        liveness.shown("team", version)
        clock.time += 3
        assert liveness.echoed("team", version) == 3
    assert liveness.problems() == []


def test_a_version_that_does_not_come_back_is_red_until_it_or_a_newer_one_does() -> None:
    clock = Clock()
    liveness = Liveness(10, 100, clock)
    for version in (5, 6, 7):  # renewals go on: the first one waits longest
        liveness.shown("team", version)
        clock.time += 5
    assert liveness.problems() == ["no event of the Lease in namespace team for 15 s"]
    assert liveness.echoed("team", 4) == 0, "an older one proves nothing"
    assert liveness.problems()
    assert liveness.echoed("team", 7) == 15
    assert liveness.problems() == []


def test_an_event_that_overtakes_its_call_counts() -> None:
    clock = Clock()
    liveness = Liveness(10, 100, clock)
    liveness.echoed("team", 3)
    liveness.shown("team", 3)
    clock.time = 60
    assert liveness.problems() == []


def test_an_api_server_that_is_away_shows_nothing_and_is_no_sign() -> None:
    clock = Clock()
    liveness = Liveness(10, 1000, clock)
    clock.time = 500
    assert liveness.problems() == []


def test_two_lists_in_a_row_with_misses_are_red_and_one_is_not() -> None:
    liveness = Liveness(10, 100, Clock())
    liveness.listed(3)
    assert liveness.problems() == []
    liveness.listed(1)
    assert liveness.problems() == ["the last 2 lists found changes that no event had brought"]
    liveness.listed(0)
    assert liveness.problems() == []


def test_a_loop_that_does_not_turn_is_red() -> None:
    clock = Clock()
    liveness = Liveness(10, 30, clock)
    clock.time = 31
    assert liveness.problems() == ["the loop has not turned for 31 s"]
    liveness.tick()
    assert liveness.problems() == []
