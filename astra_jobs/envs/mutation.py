"""Testing the verifier of an instance: every broken solution must earn less than the oracle (SPEC 3.5).

Mutants drop one needed call, or change one call's arguments to another valid set. Their results are known from the
probes, so nothing runs again.
"""

from collections.abc import Sequence

from astra_jobs.envs.build import Draft
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.probes import Probes
from astra_jobs.episodes.reward import score
from astra_jobs.records.environment import Target, Verification
from astra_jobs.records.episode import EpisodeCall


def targets_of(drafts: Sequence[Draft]) -> list[Target]:
    """Return what an episode must find: one target a node that needs a tool."""
    return [
        Target(node=draft.context.node.id, tool=draft.tool.name, answer=draft.context.node.answer, answer_path=draft.answer_path)
        for draft in drafts
    ]


def prove(drafts: Sequence[Draft], probes: Sequence[Probes], checks: dict[str, bool]) -> Verification:
    """Return the verification record; Refused when the oracle does not earn 1, doing nothing earns, or a mutant lives."""
    targets = targets_of(drafts)
    oracle = [
        EpisodeCall(turn=index, tool=draft.tool.name, arguments=draft.arguments, outcome="ok", value=found.main.value)
        for index, (draft, found) in enumerate(zip(drafts, probes, strict=True))
    ]
    best, nothing = score(targets, oracle).value, score(targets, []).value
    if best != 1.0 or nothing != 0.0:
        raise Refused("mutation", "OracleOrNothing", f"oracle {best:g}, no call {nothing:g}")
    mutants = _mutants(drafts, probes, oracle)
    killed = sum(score(targets, calls).value < 1.0 for calls in mutants)
    if killed < len(mutants):
        raise Refused("mutation", "MutantSurvives", f"{len(mutants) - killed} of {len(mutants)} earn full reward")
    return Verification(checks=checks, mutants=len(mutants), mutants_killed=killed, oracle_reward=best, no_op_reward=nothing)


def _mutants(drafts: Sequence[Draft], probes: Sequence[Probes], oracle: list[EpisodeCall]) -> list[list[EpisodeCall]]:
    mutants = [oracle[:index] + oracle[index + 1 :] for index in range(len(oracle))]
    for index, (draft, found) in enumerate(zip(drafts, probes, strict=True)):
        for arguments, result in zip(draft.others, found.others, strict=True):
            changed = oracle[index].model_copy(update={"arguments": arguments, "outcome": result.outcome, "value": result.value})
            mutants.append([*oracle[:index], changed, *oracle[index + 1 :]])
    return mutants
