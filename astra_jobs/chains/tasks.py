"""Tasks written for chains and from the server alone, rewritten, and scored (paper 3.2, SPEC 2.5 to 2.7).

Targets must exist, tool names must not stand in the text, a rewriting must keep language and plan, each original is kept
once, copies are dropped, and all three scores must pass. The authors' code checks none of these.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from astra_jobs.api.v1alpha1.chains import ChainSynthesisSpec, TaskThresholds
from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import RewriteTask, ScoreTask, TaskScores, Variant, WriteTask
from astra_jobs.chains.asking import ask_readable
from astra_jobs.chains.funnel import Funnel
from astra_jobs.chains.plans import same_plan
from astra_jobs.chains.verify import Reason, plan_of
from astra_jobs.chains.words import UNDETERMINED, exact_key, language_of, near_key
from astra_jobs.records.funnel import UNSCORED
from astra_jobs.records.tool import Server
from astra_jobs.text.tokens import holds, particular, words

_JOINTS = str.maketrans("_-./:", "     ")
VARIANT_ORDER: tuple[Variant, ...] = ("Diversity", "Complexity", "Persona")


@dataclass(frozen=True)
class Task:
    """A task on its way: ``id`` names server, origin and variant."""

    id: str
    text: str
    targets: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def item(self) -> tuple[str, str]:
        """Return what and name, for a drop."""
        return "task", self.id


async def make_tasks(server: Server, chains: Sequence[list[str]], author: Author, spec: ChainSynthesisSpec, funnel: Funnel) -> list[Task]:
    """Return the tasks of a server that pass every filter, originals before their rewritings."""
    originals = await write_tasks(server, chains, author, spec, funnel)
    tasks: list[Task] = []
    for group in await asyncio.gather(*(_with_variants(server, task, author, spec, funnel) for task in originals)):
        tasks += group
    tasks = drop_copies(tasks, funnel)
    scores = await asyncio.gather(*(_score(server, task, author) for task in tasks))
    kept = [task for task, score in zip(tasks, scores, strict=True) if _good(task, score, spec.score, funnel)]
    funnel.numbers["tasks"] += len(kept)
    return kept


async def write_tasks(server: Server, chains: Sequence[list[str]], author: Author, spec: ChainSynthesisSpec, funnel: Funnel) -> list[Task]:
    """Return the original tasks: one for each chain, and ``serverOnly`` whose number of tools goes 1, 2, … ``maxTools``."""
    wanted: list[tuple[str, list[str] | None, int]] = [(f"chain-{index:03d}", chain, len(chain)) for index, chain in enumerate(chains)]
    wanted += [(f"server-{index:03d}", None, 1 + index % spec.tasks.max_tools) for index in range(spec.tasks.server_only)]
    tasks: list[Task] = []
    avoid: list[str] = []
    for index, (origin, chain, count) in enumerate(wanted):
        # One after another, because each is told what was asked before.
        request = WriteTask(server=server, chain=chain, tools=count, index=index, avoid=list(avoid))
        answer = await author.answer(request)
        if not answer.text:
            funnel.numbers["nothingNewToAsk"] += 1
            continue
        avoid.append(answer.text)
        task = Task(f"{server.name}/{origin}/0-Original", answer.text, tuple(answer.targets), dict(answer.labels))
        if _fits_request(task, chain, count, server, funnel) and _names_no_tool(task, server, funnel):
            tasks.append(task)
    return tasks


def _fits_request(task: Task, chain: list[str] | None, count: int, server: Server, funnel: Funnel) -> bool:
    known = {tool.name for tool in server.tools}
    unknown = [name for name in task.targets if name not in known]
    reason: Reason | None = None
    if unknown:
        reason = ("UnknownTarget", f"no tool {unknown[0]}")
    elif (sorted(task.targets) != sorted(chain)) if chain is not None else (len(task.targets) != count):
        reason = ("OtherTargets", f"targets are {', '.join(task.targets) or 'none'}")
    return _filter("taskTargets", task, reason, funnel)


def _names_no_tool(task: Task, server: Server, funnel: Funnel) -> bool:
    """Names of tools, joined or spelt out, give the tool away; so does the name that the tool's server knows it by."""
    spoken = words(task.text)
    for tool in server.tools:
        for name in {tool.name, tool.called}:
            if holds(spoken, words(name)) or holds(spoken, words(name.translate(_JOINTS))):
                return _filter("toolNames", task, ("ToolNamed", f"the text names {tool.name}"), funnel)
    return _filter("toolNames", task, None, funnel)


async def _with_variants(server: Server, task: Task, author: Author, spec: ChainSynthesisSpec, funnel: Funnel) -> list[Task]:
    """Return the task once, and after it each rewriting that keeps its language and meaning."""
    group = [task]
    for variant in sorted(set(spec.augment.variants), key=VARIANT_ORDER.index):
        request = RewriteTask(server=server, text=task.text, targets=list(task.targets), variant=variant)
        answer = await author.answer(request)
        number = 1 + VARIANT_ORDER.index(variant)
        # What was planted in the original is in the rewriting too, unless something else was planted there.
        copy = Task(f"{task.id.rsplit('/', 1)[0]}/{number}-{variant}", answer.text, task.targets, {**task.labels, **answer.labels})
        if not _names_no_tool(copy, server, funnel):
            continue
        if _filter("language", copy, language_fault(task.text, copy.text), funnel) and _filter(
            "meaning", copy, await _meaning_fault(server, task.text, copy.text, author), funnel
        ):
            group.append(copy)
    return group


def language_fault(original: str, variant: str) -> Reason | None:
    """Say how a rewriting's language differs; what cannot be identified is not known to be equal."""
    languages = language_of(original), language_of(variant)
    if UNDETERMINED in languages:
        return "UndeterminedLanguage", f"{languages[0]} and {languages[1]}"
    if languages[0] != languages[1]:
        return "OtherLanguage", f"{languages[1]} instead of {languages[0]}"
    return None


async def _meaning_fault(server: Server, original: str, variant: str, author: Author) -> Reason | None:
    """Compare plans and named things of both texts. Two texts that allow no plan are left to the score of question quality."""
    lost = set(filter(particular, words(original))).difference(words(variant))
    if lost:
        return "OtherMeaning", f"the rewriting lost {min(lost)}"
    plans = [await plan_of(server, text, author) for text in (original, variant)]
    calls = [plan.calls for plan in plans if plan is not None and plan.calls is not None]
    if len(calls) < 2:
        return UNSCORED, "a plan could not be read"
    if calls[0] == calls[1] == [] or same_plan(calls[0], calls[1]):
        return None
    return "OtherMeaning", "the rewriting asks for " + (", ".join(call.tool for call in calls[1]) or "nothing that can be planned")


def drop_copies(tasks: Sequence[Task], funnel: Funnel) -> list[Task]:
    """Return a server's tasks without exact and near copies of earlier ones."""
    exact: set[tuple[str, ...]] = set()
    near: set[tuple[str, ...]] = set()
    kept = []
    for task in tasks:
        keys = exact_key(task.text), near_key(task.text)
        same = ("SameText", "an earlier task has the same words") if keys[0] in exact else None
        like = ("SameContent", "an earlier task differs in function words only") if keys[1] in near else None
        if _filter("exactDuplicate", task, same, funnel) and _filter("nearDuplicate", task, like, funnel):
            exact.add(keys[0])
            near.add(keys[1])
            kept.append(task)
    return kept


async def _score(server: Server, task: Task, author: Author) -> TaskScores | None:
    return await ask_readable(
        author,
        lambda attempt: ScoreTask(server=server, text=task.text, targets=list(task.targets), attempt=attempt),
        lambda answer: None not in (answer.question_quality, answer.scenario_realism, answer.tool_necessity),
    )


def _good(task: Task, scores: TaskScores | None, least: TaskThresholds, funnel: Funnel) -> bool:
    if scores is None:
        return _filter("questionQuality", task, (UNSCORED, "the scores could not be read"), funnel)
    axes = (
        ("questionQuality", scores.question_quality, least.question_quality),
        ("scenarioRealism", scores.scenario_realism, least.scenario_realism),
        ("toolNecessity", scores.tool_necessity, least.tool_necessity),
    )
    for name, score, threshold in axes:
        low = score is None or score < threshold
        if not _filter(name, task, ("LowScore", f"{score} of at least {threshold}") if low else None, funnel):
            return False
    return True


def _filter(name: str, task: Task, reason: Reason | None, funnel: Funnel) -> bool:
    """Count a task at a filter; tell whether it passes."""
    if reason is None:
        funnel.passes(name, task.labels)
        return True
    funnel.drop(name, task.item, reason, task.labels)
    return False
