"""Tasks of the procedural author: written, rewritten, scored (SPEC 2.5 to 2.7)."""

import random
from collections.abc import Sequence

from astra_jobs.api.v1alpha1.author import ChainDefects
from astra_jobs.authors.chain_requests import RewriteTask, RewrittenTask, ScoreTask, TaskScores, WriteTask, WrittenTask
from astra_jobs.authors.procedural_chains.draws import pick
from astra_jobs.authors.procedural_chains.planning import UNKNOWN_TOOL, paths_of, roots
from astra_jobs.authors.procedural_chains.reading import oracle_keys, split_task, statements, understand
from astra_jobs.worlds.graph import Chain, chains_of
from astra_jobs.worlds.questions import FORMS, Branch, WorldQuestion, ask, question_for
from astra_jobs.worlds.world import World

TRIES = 12
_UNREAL = ("As a stone on the far side of the moon, ", "While the clocks run backwards, ", "Before anything existed, ")
_LEADS = {
    "Diversity": ("For the weekly report: ", "To fill in the form: ", "To settle an open case: ", "For today's log: "),
    "Persona": ("As a clerk I ask: ", "As a new guide I ask: ", "As a student I ask: ", "As a driver I ask: "),
}
_CONSTRAINTS = ("Only the result.", "Keep it short.", "One line is enough.", "No comments.")
_FOREIGN = (
    ("Bitte suche {0} für mich und gib es mir.", (("the", "die"), ("of", "von"), ("and", "und"))),
    ("Cherche {0} pour moi et dis-moi la valeur.", (("the", "le"), ("of", "de"), ("and", "et"))),
    ("Busca {0} para mí y dime el valor.", (("the", "el"), ("of", "de"), ("and", "y"))),
)


def write(request: WriteTask, world: World, rng: random.Random, defects: ChainDefects) -> WrittenTask:
    """Write a task that asks for nothing that an earlier one asked for; an empty text when there is nothing left."""
    question = _new_question(request, world, rng)
    if question is None:
        return WrittenTask(text="", targets=[])
    text, targets = question.text, [call.tool for call in question.oracle]
    rates = [
        ("vague", defects.vague_task),
        ("wrongTarget", defects.wrong_target),
        ("unrealisticTask", defects.unrealistic_task),
        ("needlessTool", defects.needless_tool),
    ]
    defect = pick(rng, rates)
    if defect == "vague":
        # Two vague tasks of a server could be copies of each other: without the row, little is left to differ in.
        once = any(understand(world, text) is None for text in request.avoid)
        defect = "namedTool" if once or rng.random() < 0.5 else "vagueTask"
    if defect == "vagueTask":
        text = _without_start(text, question)
    elif defect == "namedTool":
        text = f"Use {targets[0]}. {text}"
    elif defect == "wrongTarget":
        targets = [*targets[:-1], UNKNOWN_TOOL]
    elif defect == "unrealisticTask":
        text = rng.choice(_UNREAL) + "I ask: " + text
    elif defect == "needlessTool":
        text = f"{question.final_answer} {text}"
    return WrittenTask(text=text, targets=targets, labels={"defect": defect} if defect else {})


def _new_question(request: WriteTask, world: World, rng: random.Random) -> WorldQuestion | None:
    asked = [understood for text in request.avoid if (understood := understand(world, text)) is not None]
    before = {frozenset(oracle_keys(question)) for question in asked}
    for _ in range(TRIES):
        question = _for_chain(world, request.chain, rng) if request.chain is not None else _for_server(world, request.tools, rng)
        if question is not None and frozenset(oracle_keys(question)) not in before:
            return question
    return None


def _for_chain(world: World, chain: Sequence[str], rng: random.Random) -> WorldQuestion | None:
    """Ask for a sound chain from a random row; a chain that does not hang together has no question."""
    if len(roots(world, chain)) != 1:
        return None
    start = rng.choice(world.ids[world.tool(chain[0]).entity])
    return ask(world, [Branch(start, path) for path in paths_of(world, chain)], rng.choice(FORMS))


def _for_server(world: World, tools: int, rng: random.Random) -> WorldQuestion | None:
    """Ask a question of so many calls: one chain, or up to three independent ones."""
    levels = chains_of(world)
    chains: list[Chain] = []
    left = tools
    while left:
        length = rng.randint(1, min(left, len(levels) - 1))
        chains.append(rng.choice(levels[length]))
        left -= length
    question = question_for(world, chains, rng)
    return question if question is not None and len(question.oracle) == tools else None


def _without_start(text: str, question: WorldQuestion) -> str:
    """Leave out which row is meant."""
    for call in question.oracle:
        for value in call.arguments.values():
            text = text.replace(f" {value}", "")
    return text


def rewrite(request: RewriteTask, world: World, rng: random.Random, defects: ChainDefects) -> RewrittenTask:
    """Rewrite a task lightly; at the declared rates in another language, with another meaning, or not at all."""
    text = request.text
    parts = split_task(text)
    defect = pick(rng, [("changed", defects.changed_language), ("copied", defects.copied_task)])
    if defect == "copied":
        near = rng.random() < 0.5
        return RewrittenTask(text=f"Please, {text}" if near else text, labels={"defect": "nearCopy" if near else "copiedTask"})
    if defect == "changed" and parts is not None:
        other = _other_meaning(world, text, rng)
        if other is not None and rng.random() < 0.5:
            return RewrittenTask(text=parts[0] + other, labels={"defect": "changedMeaning"})
        return RewrittenTask(text=_foreign(parts[1], rng), labels={"defect": "changedLanguage"})
    if request.variant == "Complexity":
        return RewrittenTask(text=f"{text} {rng.choice(_CONSTRAINTS)}")
    return RewrittenTask(text=rng.choice(_LEADS[request.variant]) + text)


def _other_meaning(world: World, text: str, rng: random.Random) -> str | None:
    """Ask, from the same rows, for other calls than a text does; None when the world has none."""
    question = understand(world, text)
    if question is None:
        return None
    first = question.oracle[0]
    start, entity = str(next(iter(first.arguments.values()))), world.tool(first.tool).entity
    taken = sorted(call.tool for call in question.oracle)
    chains = [
        chain for level in chains_of(world)[1:] for chain in level if world.tool(chain[0]).entity == entity and sorted(chain) != taken
    ]
    return ask(world, [Branch(start, rng.choice(chains))], rng.choice(FORMS)).text if chains else None


def _foreign(phrase: str, rng: random.Random) -> str:
    form, pairs = rng.choice(_FOREIGN)
    for english, other in pairs:
        phrase = f" {phrase} ".replace(f" {english} ", f" {other} ").replace(f" {english} ", f" {other} ").strip()
    return form.format(phrase)


def score(request: ScoreTask, world: World) -> TaskScores:
    """Score by the text: can it be planned, is its setting one that people are in, does it tell its own answer."""
    question = understand(world, request.text)
    real = 1 if any(lead in request.text for lead in _UNREAL) else 5
    if question is None:
        return TaskScores(question_quality=1, scenario_realism=real, tool_necessity=5)
    told = question.final_answer in request.text or bool(set(statements(question.final_answer)) & set(statements(request.text)))
    return TaskScores(question_quality=5, scenario_realism=real, tool_necessity=1 if told else 5)
