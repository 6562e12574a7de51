"""The procedural author plays the assistant: well, or with one of its declared faults (SPEC 2.8 and 6).

Each turn is made from the messages alone. A fault is labelled in the turn that commits it, so that a conversation in which
the chance for it never came carries no label.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from astra_jobs.authors.chain_requests import Act, Action
from astra_jobs.authors.procedural_chains.draws import Behaviour
from astra_jobs.authors.procedural_chains.reading import CallKey, Outcome, Reading, oracle_keys, read, say, understand, value_said
from astra_jobs.records.conversation import ToolCall
from astra_jobs.records.environment import OracleCall
from astra_jobs.worlds.questions import WorldQuestion, spoken
from astra_jobs.worlds.world import World

GIVES_UP = "I could not get the data."
# Enough calls that fewer than a third of them surviving the injected faults still outnumber the needed ones.
OVERDO = 3


@dataclass
class Play:
    """A turn to be made: the world, what is asked, what happened so far, and how this conversation is played."""

    world: World
    question: WorldQuestion
    reading: Reading
    behaviour: Behaviour
    offered: list[str]
    rng: random.Random

    @property
    def needed(self) -> list[CallKey]:
        """Keys of the calls that the question needs, node by node."""
        return oracle_keys(self.question)

    def answered(self) -> set[CallKey]:
        """Keys of all calls that gave a value."""
        return {outcome.key for outcome in self.reading.outcomes if outcome.value is not None}

    def ready(self, within: int | None = None) -> list[OracleCall]:
        """Return the needed calls, among the first ``within``, that have what they take and gave no value yet."""
        done = self.answered()
        keys = self.needed
        nodes = list(zip(self.question.graph.nodes, self.question.oracle, keys, strict=True))[:within]
        return [call for node, call, key in nodes if key not in done and all(keys[need - 1] in done for need in node.depends_on)]

    def starts(self) -> list[str]:
        """Return the identifiers that the question names, each once."""
        pairs = zip(self.question.graph.nodes, self.question.oracle, strict=True)
        return list(dict.fromkeys(_value(call) for node, call in pairs if not node.depends_on))

    def ends(self, within: int | None = None) -> list[OracleCall]:
        """Return the calls among the first ``within`` that no other of them takes from."""
        nodes = self.question.graph.nodes[:within]
        taken = {need for node in nodes for need in node.depends_on}
        return [call for node, call in zip(nodes, self.question.oracle, strict=False) if node.id not in taken]


def act(request: Act, world: World, behaviour: Behaviour, rng: random.Random) -> Action:
    """Return the next assistant turn."""
    question = understand(world, request.messages[0].content)
    if question is None:
        return Action(content="Which one do you mean?")
    play = Play(world, question, read(request.messages), behaviour, [tool.name for tool in request.tools], rng)
    if behaviour.gives_up and _met_a_fault(play):
        return Action(content=GIVES_UP, labels={"defect": "givesUp"})
    return _PLAYS.get(behaviour.defect or behaviour.imperfection, _well)(play)


def _well(play: Play) -> Action:
    ready = play.ready()
    return _calls(ready) if ready else Action(content=play.question.final_answer)


def _met_a_fault(play: Play) -> bool:
    last = play.reading.rounds[-1] if play.reading.rounds else []
    return bool(play.ready()) and any(outcome.value is None for outcome in last)


def _early(play: Play) -> Action:
    """Fetch only the first few nodes, then state what was found."""
    count = len(play.needed)
    if count < 2:
        return _well(play)
    within = play.rng.randint(1, count - 1)
    ready = play.ready(within)
    if ready:
        return _calls(ready)
    return Action(content=_told(play, play.ends(within)), labels={"imperfection": "earlyStop"})


def _redundant(play: Play) -> Action:
    """Fetch everything, repeat one call, then answer."""
    rounds = play.reading.rounds
    if play.ready() or (len(rounds) > 1 and _answered_before(rounds)):
        return _well(play)
    again = play.question.oracle[play.rng.randrange(len(play.needed))]
    return _calls([again], {"imperfection": "redundantCall"})


def _answered_before(rounds: Sequence[Sequence[Outcome]]) -> bool:
    """Tell whether the last round asks only for what an earlier one was told."""
    told = {outcome.key for calls in rounds[:-1] for outcome in calls if outcome.value is not None}
    return all(outcome.key in told for outcome in rounds[-1])


def _endless(play: Play) -> Action:
    return _calls(play.question.oracle[:1], {"defect": "endless"})


def _misunderstood(play: Play) -> Action:
    entity = play.world.tool(play.question.oracle[0].tool).entity
    return Action(content=f"Which {entity} do you mean?", labels={"defect": "misunderstoodQuery"})


def _wrong_plan(play: Play) -> Action:
    """Begin with a call that is of no use, on the right row."""
    if play.reading.rounds:
        return _well(play)
    useless = _useless(play)
    return Action(tool_calls=[useless], labels={"defect": "wrongPlan"}) if useless else _well(play)


def _misread(play: Play) -> Action:
    """After the first hop, go on with rows that no tool returned, until that is most of the later rounds."""
    nodes = list(zip(play.question.graph.nodes, play.question.oracle, strict=True))
    later = [call for node, call in nodes if node.depends_on]
    call = later[0] if later else play.question.oracle[0]
    meant = {_value(item) for item in play.question.oracle}
    meant |= {value for outcome in play.reading.outcomes if outcome.value for value in outcome.value.values() if isinstance(value, str)}
    rows = [row for row in play.world.ids[play.world.tool(call.tool).entity] if row not in meant]
    if not later or not rows:
        return _well(play)
    first = sum(1 for node, _ in nodes if not node.depends_on)
    ready = play.ready(first)
    if ready:
        return _calls(ready)
    known = set(play.needed)
    good = [all(outcome.key in known for outcome in calls) for calls in play.reading.rounds[1:]]
    if 2 * sum(good) >= len(good):
        return Action(tool_calls=[_call(play.world, call.tool, play.rng.choice(rows))], labels={"defect": "misreadResult"})
    return Action(content=_told(play, play.ends(first)))


def _lost(play: Play) -> Action:
    """With everything at hand, go on calling what is of no use, until that is most of the later rounds."""
    ready = play.ready()
    useless = _useless(play)
    if ready or useless is None:
        return _well(play)
    known = set(play.needed)
    good = [all(outcome.key in known for outcome in calls) for calls in play.reading.rounds[1:]]
    if 2 * sum(good) >= len(good):
        return Action(tool_calls=[useless], labels={"defect": "lostPlan"})
    return _well(play)


def _failing(play: Play) -> Action:
    """Mix the first turn with calls for rows that do not exist."""
    if play.reading.rounds:
        return _well(play)
    ready = play.ready()
    rows = [f"{letter}0{digit}" for letter in "abcdefghijklmnopqrstuvwxyz" for digit in range(10)]
    missing = play.rng.sample(rows, OVERDO * (len(play.needed) + 1))
    calls = [_call(play.world, ready[0].tool, row) for row in missing]
    return Action(tool_calls=calls + _calls(ready).tool_calls, labels={"defect": "failingCalls"})


def _unneeded(play: Play) -> Action:
    """Call at random before the right call, in the same turn."""
    if play.reading.rounds:
        return _well(play)
    calls = _at_random(play, OVERDO * (len(play.needed) + 1))
    return Action(tool_calls=calls + _calls(play.ready()).tool_calls, labels={"defect": "unneededCalls"})


def _sloppy(play: Play) -> Action:
    """Some calls at random at first, and an answer that states one of their results."""
    if not play.reading.rounds:
        return Action(tool_calls=_at_random(play, len(play.needed)) + _calls(play.ready()).tool_calls)
    ready = play.ready()
    if ready:
        return _calls(ready)
    meant = {statement for call in play.question.oracle for statement in _statements(play.world, call)}
    aside = [value_said(outcome.value) for outcome in play.reading.outcomes if outcome.value is not None and outcome.key not in play.needed]
    said = [statement for found in aside for statement in found if statement not in meant]
    if not said:
        return _well(play)
    return Action(content=f"The {said[0][0]} is {said[0][1]}.", labels={"defect": "sloppy"})


def _wrong_answer(play: Play) -> Action:
    """Do everything right, then state what no tool said."""
    ready = play.ready()
    if ready:
        return _calls(ready)
    seen = {statement for outcome in play.reading.outcomes if outcome.value is not None for statement in value_said(outcome.value)}
    calls = []
    for call in play.ends():
        rows = play.world.ids[play.world.tool(call.tool).entity]
        other = [row for row in rows if seen.isdisjoint(_statements(play.world, OracleCall(node=0, tool=call.tool, arguments={"": row})))]
        calls.append((call.tool, play.rng.choice(other or list(rows))))
    return Action(content=say(play.world, calls), labels={"defect": "wrongAnswer"})


_PLAYS: dict[str, Callable[[Play], Action]] = {
    "earlyStop": _early,
    "redundantCall": _redundant,
    "endless": _endless,
    "misunderstoodQuery": _misunderstood,
    "wrongPlan": _wrong_plan,
    "misreadResult": _misread,
    "lostPlan": _lost,
    "failingCalls": _failing,
    "unneededCalls": _unneeded,
    "sloppy": _sloppy,
    "wrongAnswer": _wrong_answer,
}


def _value(call: OracleCall) -> str:
    return str(next(iter(call.arguments.values())))


def _call(world: World, tool: str, row: str) -> ToolCall:
    return ToolCall(name=tool, arguments={world.tool(tool).argument: row})


def _calls(calls: Sequence[OracleCall], labels: dict[str, str] | None = None) -> Action:
    return Action(tool_calls=[ToolCall(name=call.tool, arguments=call.arguments) for call in calls], labels=labels or {})


def _told(play: Play, calls: Sequence[OracleCall]) -> str:
    return say(play.world, [(call.tool, _value(call)) for call in calls])


def _statements(world: World, call: OracleCall) -> list[tuple[str, str]]:
    return [(world.tool(call.tool).attribute, spoken(world, call.tool, _value(call)))]


def _useless(play: Play) -> ToolCall | None:
    """Return an offered call on a row that the question names, which is none of the needed ones."""
    needed = {(call.tool, _value(call)) for call in play.question.oracle}
    choices = [(tool, row) for tool in play.offered for row in play.starts() if (tool, row) not in needed]
    return _call(play.world, *play.rng.choice(choices)) if choices else None


def _at_random(play: Play, count: int) -> list[ToolCall]:
    """Return different calls of offered tools that succeed and are not needed."""
    needed = {(call.tool, _value(call)) for call in play.question.oracle}
    choices = [(tool, row) for tool in play.offered for row in play.world.ids[play.world.tool(tool).entity] if (tool, row) not in needed]
    return [_call(play.world, tool, row) for tool, row in play.rng.sample(choices, min(count, len(choices)))]
