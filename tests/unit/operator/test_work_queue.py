"""The work queue: once at most, one worker a key, growing delays, no lost wake-up."""

from hypothesis import given
from hypothesis import strategies as st

from astra_operator.queue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_key_waits_once_and_the_earliest_wish_counts() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", 10)
    queue.add("a", 5)
    queue.add("a", 20)
    assert queue.get() is None
    assert queue.wait() == 5
    clock.time = 5
    assert queue.get() == "a"
    queue.done("a")
    assert queue.wait() is None


def test_a_wake_up_during_work_is_not_lost_and_does_not_run_beside_it() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    assert queue.get() is None
    queue.done("a")
    assert queue.get() == "a"


def test_keys_come_in_the_order_in_which_they_were_due() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("late", 2)
    queue.add("early", 1)
    queue.add("now")
    clock.time = 3
    assert [queue.get(), queue.get(), queue.get(), queue.get()] == ["now", "early", "late", None]


def test_what_is_wanted_first_comes_before_all_that_is_due_and_in_its_own_order() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("old")
    clock.time = 5
    queue.add("new", first=True)
    queue.add("newer", first=True)
    queue.add("old", first=False)
    assert queue.wait() == 0
    assert [queue.get(), queue.get(), queue.get(), queue.get()] == ["new", "newer", "old", None]


def test_failures_back_off_to_a_cap_and_events_do_not_defeat_it() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock, first_delay=1, longest_delay=8)
    queue.add("a")
    delays = []
    for _ in range(6):
        assert queue.get() == "a"
        queue.add("a")  # an event arrives meanwhile
        delays.append(queue.fail("a"))
        assert queue.get() is None
        clock.time += delays[-1]
    assert delays == [1, 2, 4, 8, 8, 8]
    assert queue.get() == "a"
    queue.done("a")
    queue.add("a")
    queue.get()
    assert queue.fail("a") == 1, "a success forgets the failures"


def test_a_forgotten_key_is_gone() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    queue.add("a")
    queue.forget("a")
    assert queue.get() is None
    assert len(queue) == 0


@given(st.lists(st.tuples(st.sampled_from(["add", "get", "done", "fail", "time"]), st.sampled_from("abc"), st.integers(0, 5))))
def test_every_wish_is_served_after_it_was_made(moves: list[tuple[str, str, int]]) -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock, first_delay=1, longest_delay=4)
    busy: set[str] = set()
    wanted: set[str] = set()
    for move, key, number in moves:
        if move == "add":
            queue.add(key, number)
            wanted.add(key)
        elif move == "get":
            taken = queue.get()
            if taken is not None:
                assert taken not in busy
                busy.add(taken)
                wanted.discard(taken)
        elif move in ("done", "fail") and key in busy:
            busy.discard(key)
            if move == "done":
                queue.done(key)
            else:
                queue.fail(key)
                wanted.add(key)
        elif move == "time":
            clock.time += number
    for key in busy:
        queue.done(key)
    clock.time += 100
    served = set()
    while (taken := queue.get()) is not None:
        served.add(taken)
        queue.done(taken)
    assert wanted <= served
