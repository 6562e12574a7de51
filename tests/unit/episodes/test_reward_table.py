"""The reward's closed form: SPEC 5's table row by row, and its properties."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.episodes.reward import closed_form, score
from astra_jobs.records.environment import Answer, Target
from astra_jobs.records.episode import INFRASTRUCTURE, EpisodeCall


def target(node: int, tool: str = "t", value: str | None = None, path: str = "/v") -> Target:
    return Target(node=node, tool=tool, answer=Answer(kind="text", value=value or f"v{node}"), answer_path=path)


def call(value: Any = None, tool: str = "t", **rest: Any) -> EpisodeCall:
    return EpisodeCall(turn=0, tool=tool, value=value, **{"outcome": "ok", **rest})


def good(node: int, **rest: Any) -> EpisodeCall:
    return call({"v": f"v{node}"}, **rest)


TWO = [target(1), target(2)]


@pytest.mark.parametrize(
    ("calls", "value", "solved", "counted"),
    [
        ([], 0.0, 0, 0),
        ([call({"v": "no"})], 0.0, 0, 1),
        ([good(1), good(2)], 1.0, 2, 2),
        ([good(2), good(1)], 1.0, 2, 2),
        ([good(1)], 2 / 3, 1, 1),
        ([good(1), good(1)], 0.5, 1, 2),
        ([good(1), good(2), call(tool="", outcome="malformed")], 0.8, 2, 3),
        ([good(1), good(2), call(tool="x", outcome="unknown_tool")], 0.8, 2, 3),
        ([good(1), good(2), call(outcome="tool_error")], 0.8, 2, 3),
        ([good(1), good(2), call(outcome="tool_error", injected_fault=True)], 1.0, 2, 2),
        ([good(1), good(2, injected_fault=True)], 2 / 3, 1, 1),
        ([good(1), good(2, arguments={"q": "v2"})], 1.0, 2, 2),
        ([good(1, tool="u")], 0.0, 0, 1),
        ([good(1, outcome="tool_error")], 0.0, 0, 1),
        ([call({"v": "v1 and v2"})], 0.0, 0, 1),
    ],
)
def test_the_table(calls: list[EpisodeCall], value: float, solved: int, counted: int) -> None:
    reward = score(TWO, calls)
    assert (reward.value, reward.solved, reward.calls, reward.targets, reward.masked) == (pytest.approx(value), solved, counted, 2, False)


def test_one_call_solves_at_most_one_target_of_a_merged_tool() -> None:
    merged = [target(1), target(2, path="/w")]
    both = call({"v": "v1", "w": "v2"})
    assert [score(merged, [both]).solved, score(merged, [both, both]).value] == [1, 1.0]


def test_an_honest_argument_that_equals_the_answer_is_solved_and_counted() -> None:
    ten = Target(node=1, tool="t", answer=Answer(kind="number", value=10), answer_path="/shown")
    honest = call({"shown": 10}, arguments={"per_page": 10})
    reward = score([ten], [honest])
    assert (reward.value, reward.echoed) == (1.0, 1)
    assert score([ten], [call({"shown": 10}, arguments={"per_page": 20})]).echoed == 0
    assert score([ten], [call({"shown": 9}, arguments={"per_page": 10})]).echoed == 0, "what solves nothing is no hack"


def test_a_tool_that_was_not_proven_free_of_echo_earns_nothing_for_it() -> None:
    imported = [Target(node=1, tool="t", answer=Answer(kind="text", value="m41"), origin="Imported")]
    assert score(imported, [call({"port": "it is M41"}, arguments={"ship": "k27"})]).value == 1.0
    assert score(imported, [call({"port": "it is M41"}, arguments={"ship": "is it m41?"})]).value == 0.0


def test_only_an_imported_target_may_lack_a_path() -> None:
    with pytest.raises(ValueError, match="no answerPath"):
        Target(node=1, tool="t", answer=Answer(kind="text", value="a"))


def test_short_answers_are_not_found_inside_longer_ones() -> None:
    assert score([target(1, value="5")], [call({"v": "15"})]).value == 0


def test_switches_for_the_ablation() -> None:
    calls = [good(1), call({"v": "no"}), call({"v": "no"})]
    assert [score(TWO, calls, kind).value for kind in ("F1", "Recall", "Precision")] == [2 / 5, 1 / 2, 1 / 3]


@pytest.mark.parametrize("outcome", sorted(INFRASTRUCTURE))
def test_infrastructure_masks_the_episode_and_is_not_counted(outcome: Any) -> None:
    reward = score(TWO, [good(1), good(2), call(outcome=outcome)])
    assert reward.masked
    assert (reward.value, reward.calls) == (1.0, 2)


@pytest.mark.parametrize(("calls", "closing", "value"), [([], True, 1.0), ([], False, 0.0), ([good(1)], True, 0.0)])
def test_an_instance_without_targets_asks_for_no_call_and_the_right_closing(calls: list[EpisodeCall], closing: bool, value: float) -> None:
    assert score([], calls, closing_passes=closing).value == value


CALLS = st.lists(
    st.one_of(
        st.builds(good, st.integers(1, 4)),
        st.just(call(tool="", outcome="malformed")),
        st.just(call(tool="x", outcome="unknown_tool")),
        st.just(call(outcome="tool_error", injected_fault=True)),
    ),
    max_size=8,
)
TARGETS = st.integers(1, 4).map(lambda n: [target(node) for node in range(1, n + 1)])


@given(TARGETS, CALLS)
def test_bounds(targets: list[Target], calls: list[EpisodeCall]) -> None:
    reward = score(targets, calls)
    assert 0 <= reward.value <= 1
    assert reward.solved <= min(reward.targets, reward.calls)
    assert (reward.value == 1) == (reward.solved == reward.targets == reward.calls)
    assert (reward.value == 0) == (reward.solved == 0)
    recall, precision = score(targets, calls, "Recall").value, score(targets, calls, "Precision").value
    if reward.solved:
        assert reward.value == pytest.approx(2 * recall * precision / (recall + precision))


@given(TARGETS, CALLS, st.randoms())
def test_the_order_of_single_valued_calls_does_not_matter(targets: list[Target], calls: list[EpisodeCall], random: Any) -> None:
    shuffled = list(calls)
    random.shuffle(shuffled)
    assert score(targets, calls) == score(targets, shuffled)


@given(TARGETS, CALLS)
def test_a_useless_call_lowers_and_an_injected_fault_leaves_it(targets: list[Target], calls: list[EpisodeCall]) -> None:
    before = score(targets, calls).value
    useless = score(targets, [*calls, call({"v": "no"})]).value
    assert useless < before or before == useless == 0
    assert score(targets, [*calls, call(outcome="tool_error", injected_fault=True)]).value == before


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_solving_one_more_with_the_same_calls_raises(targets: int, calls: int, data: st.DataObject) -> None:
    solved = data.draw(st.integers(0, min(targets, calls) - 1))
    for kind in ("F1", "Recall", "Precision"):
        assert closed_form(targets, solved + 1, calls, kind) > closed_form(targets, solved, calls, kind)
