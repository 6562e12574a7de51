"""Merging the tools of homogeneous sub-questions of one instance into one (SPEC 3.6).

The base is drawn at random, members are inserted one at a time, and after each insertion the calls of all members so
far run again. When anything fails the unmerged tools stay, and the report counts it; the authors' code drops the
whole instance.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from astra_jobs.authors.base import Author, AuthorCannot
from astra_jobs.authors.env_requests import GroupQuestions, MergeTools, WriteCall
from astra_jobs.envs import gate
from astra_jobs.envs.build import Draft
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.probes import Play, Sandboxes, tool_codes
from astra_jobs.envs.statement import read_call
from astra_jobs.envs.verify import answered


async def merge_tools(
    author: Author, drafts: Sequence[Draft], sandboxes: Sandboxes, rng: random.Random, numbers: dict[str, int]
) -> list[Draft]:
    """Return the drafts, those of a group sharing one tool where that works; order is kept."""
    if len(drafts) < 2:
        return list(drafts)
    groups = (await author.answer(GroupQuestions(contexts=[draft.context for draft in drafts]))).groups
    known = {draft.context.node.id: draft for draft in drafts}
    if sorted(node for group in groups for node in group) != sorted(known):
        numbers["mergesFailed"] = numbers.get("mergesFailed", 0) + 1
        return list(drafts)
    for group in groups:
        if len(group) < 2:
            continue
        try:
            known.update(await _merge_group(author, [known[node] for node in rng.sample(group, len(group))], sandboxes))
            numbers["merges"] = numbers.get("merges", 0) + 1
        except (Refused, AuthorCannot):
            numbers["mergesFailed"] = numbers.get("mergesFailed", 0) + 1
    return [known[draft.context.node.id] for draft in drafts]


async def _merge_group(author: Author, members: Sequence[Draft], sandboxes: Sandboxes) -> dict[int, Draft]:
    """Insert members into the first one; raise Refused as soon as a call of one so far gives another answer."""
    base, merged = members[0], [members[0]]
    code = base.code
    for member in members[1:]:
        made = await author.answer(MergeTools(tool=base.tool, code=code, member=member.context, member_code=member.code))
        statement = (await author.answer(WriteCall(context=member.context, tool=base.tool))).statement
        code = made.code
        gate.check(base.tool, code)
        arguments = read_call(statement, base.tool)
        valid = {repr(sorted(one.items())): one for draft in (*merged, member) for one in (draft.arguments, *draft.others, *made.others)}
        merged.append(replace(member, tool=base.tool, arguments=arguments, answer_path=base.answer_path))
        everything = tuple(valid[key] for key in sorted(valid))
        merged = [replace(draft, code=code, others=tuple(other for other in everything if other != draft.arguments)) for draft in merged]
        await _run_again(merged, sandboxes)
    return {draft.context.node.id: draft for draft in merged}


async def _run_again(merged: Sequence[Draft], sandboxes: Sandboxes) -> None:
    play = Play(sandboxes.first, tool_codes(merged[:1]), 0)
    try:
        results = await play.run([(draft.tool.name, draft.arguments) for draft in merged])
    finally:
        await play.close()
    if len(results) < len(merged) or not all(answered(draft, result) for draft, result in zip(merged, results, strict=True)):
        raise Refused("answer", "MergeBroke", merged[0].tool.name)
