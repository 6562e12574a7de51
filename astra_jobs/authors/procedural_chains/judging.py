"""The procedural judge of conversations: what the task needs follows from the world, what was done from the messages.

It never sees labels nor which errors were injected; the stage leaves those out of the axes that must not count them.
"""

from collections.abc import Sequence
from typing import Any

from astra_jobs.authors.chain_requests import ConversationVerdict, JudgeConversation
from astra_jobs.authors.procedural_chains.reading import (
    CallKey,
    Outcome,
    Reading,
    identifiers,
    oracle_keys,
    read,
    statements,
    understand,
    value_said,
)
from astra_jobs.worlds.questions import WorldQuestion, spoken
from astra_jobs.worlds.world import World


def judge(request: JudgeConversation, world: World) -> ConversationVerdict:
    """Judge a conversation part by part."""
    text = request.messages[0].content
    reading = read(request.messages)
    question = understand(world, text)
    if question is None:
        return _nothing_to_do(reading)
    needed = oracle_keys(question)
    told = reading.closing or ""
    return ConversationVerdict(
        query_understanding=_understands(reading, text),
        query_planning=_plans(reading, question, needed),
        understanding=_grounded(reading, text),
        planning=_purposeful(reading, question, needed),
        status=[float(outcome.value is not None) for outcome in reading.outcomes],
        needed=_useful(reading, needed),
        relevance=_relevance(world, question, told),
        faithfulness=_faithfulness(reading, told),
    )


def _nothing_to_do(reading: Reading) -> ConversationVerdict:
    """A task that cannot be planned deserves a question and no call."""
    asks = float(not reading.rounds and bool(reading.closing))
    later = max(0, len(reading.rounds) - 1)
    calls = len(reading.outcomes)
    return ConversationVerdict(
        query_understanding=asks,
        query_planning=asks,
        understanding=[0.0] * later,
        planning=[0.0] * later,
        status=[float(outcome.value is not None) for outcome in reading.outcomes],
        needed=[0.0] * calls,
        relevance=asks,
        faithfulness=asks,
    )


def _share(hits: Sequence[bool]) -> float:
    """Grade a round: 1 for all, 0.5 for some, 0 for none."""
    return 1.0 if all(hits) else 0.5 if any(hits) else 0.0


def _understands(reading: Reading, text: str) -> float:
    """The first turn acts on a row that the task names."""
    named = identifiers(text)
    first = reading.rounds[0] if reading.rounds else []
    return float(any(value in named for outcome in first for value in outcome.call.arguments.values() if isinstance(value, str)))


def _plans(reading: Reading, question: WorldQuestion, needed: list[CallKey]) -> float:
    """The first turn calls what is needed and can be called first."""
    first = {key for node, key in zip(question.graph.nodes, needed, strict=True) if not node.depends_on}
    return _share([outcome.key in first for outcome in reading.rounds[0]]) if reading.rounds else 0.0


def _grounded(reading: Reading, text: str) -> list[float | None]:
    """Each later round takes its arguments from the task and from results so far, not from nowhere."""
    known: set[Any] = set(identifiers(text))
    grades: list[float | None] = []
    for number, calls in enumerate(reading.rounds):
        if number:
            grades.append(_share([all(value in known for value in outcome.call.arguments.values()) for outcome in calls]))
        known.update(value for outcome in calls if outcome.value is not None for value in outcome.value.values() if isinstance(value, str))
    return grades


def _purposeful(reading: Reading, question: WorldQuestion, needed: list[CallKey]) -> list[float | None]:
    """Each later round calls what is needed, possible and not known yet; what only repeats known results is half as bad."""
    before = {key: [needed[need - 1] for need in node.depends_on] for node, key in zip(question.graph.nodes, needed, strict=True)}
    done: set[CallKey] = set()
    grades: list[float | None] = []
    for number, calls in enumerate(reading.rounds):
        if number:
            repeats = all(outcome.key in before and outcome.key in done for outcome in calls)
            grades.append(0.5 if repeats else _share([_advances(outcome, before, done) for outcome in calls]))
        done.update(outcome.key for outcome in calls if outcome.value is not None)
    return grades


def _advances(outcome: Outcome, before: dict[CallKey, list[CallKey]], done: set[CallKey]) -> bool:
    return outcome.key in before and outcome.key not in done and all(key in done for key in before[outcome.key])


def _useful(reading: Reading, needed: list[CallKey]) -> list[float | None]:
    """A call is needed when the plan holds it and no earlier call was answered with its result."""
    done: set[CallKey] = set()
    grades: list[float | None] = []
    for outcome in reading.outcomes:
        grades.append(float(outcome.key in needed and outcome.key not in done))
        if outcome.value is not None:
            done.add(outcome.key)
    return grades


def _relevance(world: World, question: WorldQuestion, told: str) -> float:
    """1 when all that was asked for is stated, 0.5 for a part of it or a value on the way to it."""
    wanted, stated = set(statements(question.final_answer)), set(statements(told))
    if wanted <= stated:
        return 1.0
    on_the_way = {
        (world.tool(call.tool).attribute, spoken(world, call.tool, str(next(iter(call.arguments.values()))))) for call in question.oracle
    }
    return 0.5 if stated & on_the_way else 0.0


def _faithfulness(reading: Reading, told: str) -> float:
    """The message states something, and nothing that no tool said."""
    said = {statement for outcome in reading.outcomes if outcome.value is not None for statement in value_said(outcome.value)}
    stated = set(statements(told))
    return float(bool(stated) and stated <= said)
