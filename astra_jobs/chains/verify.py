"""Verification of a chain: argument provenance, votes on coherence, back-translation (paper 3.1, SPEC 2.4).

Failing discards; the authors' code annotates and keeps everything. A vote needs a quorum of readable answers and a strict
majority of them; back-translation compares graphs, so that independent calls may swap.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence

from astra_jobs.api.v1alpha1.chains import ChainVerification
from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import ChainVerdict, JudgeChain, PlannedCall, PlanTask, SketchTask, TaskPlan, TaskSketch
from astra_jobs.chains.asking import ask_readable
from astra_jobs.chains.funnel import Funnel
from astra_jobs.chains.graph import feeds, fields, fits, required
from astra_jobs.chains.plans import same_plan
from astra_jobs.episodes.match import parts
from astra_jobs.records.funnel import UNSCORED
from astra_jobs.records.tool import Server, Tool
from astra_jobs.text.tokens import holds, words

Reason = tuple[str, str]


async def verify(server: Server, chain: list[str], author: Author, settings: ChainVerification, funnel: Funnel) -> bool:
    """Tell whether a chain stands; a chain that does not is dropped by the first filter that it fails."""
    tools = {tool.name: tool for tool in server.tools}
    sketch = await author.answer(SketchTask(server=server, chain=chain))
    item = ("chain", f"{server.name}/{'>'.join(chain)}")
    fault = provenance_fault([tools[name] for name in chain], sketch)
    if fault is None:
        funnel.passes("argumentProvenance", sketch.labels)
    else:
        funnel.drop("argumentProvenance", item, fault, sketch.labels)
        return False
    for name, check in (("coherence", _coherence), ("backTranslation", _back_translation)):
        fault = await check(server, chain, sketch.text, author, settings)
        if fault is not None:
            funnel.drop(name, item, fault, sketch.labels)
            return False
        funnel.passes(name, sketch.labels)
    return True


def provenance_fault(chain: Sequence[Tool], sketch: TaskSketch) -> Reason | None:
    """Name a required argument that comes neither from the task's text nor from an earlier result; None when all do.

    A value comes from the text when its words stand there in a row, symbols and signs included. Of a list or an object as
    JSON, every leaf has to.
    """
    spoken = words(sketch.text)
    given = {(item.tool, item.argument): item.value for item in sketch.given}
    available: dict[str, object] = {}
    for tool in chain:
        for argument, schema in required(tool).items():
            value = given.get((tool.name, argument))
            said = value is not None and all(holds(spoken, words(leaf)) for leaf in _leaves(value))
            if not said and not fits(argument, schema, available):
                return "ArgumentWithoutSource", f"{tool.name}.{argument} comes from nowhere"
        available.update(fields(tool))
    return None


def _leaves(value: str) -> list[str]:
    """Return the texts that an argument's value is made of: the leaves of a JSON list or object, else the whole."""
    try:
        read = json.loads(value) if value.lstrip()[:1] in ("[", "{") else None
    except (ValueError, RecursionError):
        read = None
    found = [leaf for leaf in parts(read) if not isinstance(leaf, dict | list)] if isinstance(read, dict | list) else []
    return [leaf if isinstance(leaf, str) else json.dumps(leaf) for leaf in found] or [value]


def chain_plan(chain: Sequence[str], tools: Mapping[str, Tool]) -> list[PlannedCall]:
    """Return a chain as a plan: a call needs the latest earlier call that its schema fits, or else the call before it."""
    plan = []
    for index, name in enumerate(chain):
        feeders = [earlier for earlier in range(index) if feeds(tools[chain[earlier]], tools[name])]
        plan.append(PlannedCall(tool=name, needs=feeders[-1:] if feeders else [index - 1] if index else []))
    return plan


async def _coherence(server: Server, chain: list[str], text: str, author: Author, settings: ChainVerification) -> Reason | None:
    votes = await asyncio.gather(*(_vote(server, chain, text, author, voter) for voter in range(settings.votes)))
    readable = [vote for vote in votes if vote is not None]
    if len(readable) < settings.quorum:
        return UNSCORED, f"{len(readable)} of {settings.votes} votes could be read, {settings.quorum} are needed"
    against = [vote.reason for vote in readable if not vote.valid]
    if 2 * len(against) >= len(readable):
        return "Incoherent", next((reason for reason in against if reason), "")
    return None


async def _vote(server: Server, chain: list[str], text: str, author: Author, voter: int) -> ChainVerdict | None:
    return await ask_readable(
        author,
        lambda attempt: JudgeChain(server=server, chain=chain, text=text, voter=voter, attempt=attempt),
        lambda answer: answer.valid is not None,
    )


async def _back_translation(server: Server, chain: list[str], text: str, author: Author, _: ChainVerification) -> Reason | None:
    plan = await plan_of(server, text, author)
    if plan is None or plan.calls is None:
        return UNSCORED, "the plan could not be read"
    if not same_plan(plan.calls, chain_plan(chain, {tool.name: tool for tool in server.tools})):
        return "OtherCalls", "the text asks for " + (", ".join(call.tool for call in plan.calls) or "nothing that can be planned")
    return None


async def plan_of(server: Server, text: str, author: Author) -> TaskPlan | None:
    """Return the plan that an author reads out of a text, or None when no answer could be read."""
    return await ask_readable(
        author,
        lambda attempt: PlanTask(server=server, text=text, attempt=attempt),
        lambda answer: answer.calls is not None,
    )
