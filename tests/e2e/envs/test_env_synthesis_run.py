"""A whole run: funnel against planted defects, splits, distractors, resume, shards, replay, export."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.authors.base import AuthorCannot, Request
from astra_jobs.authors.env_requests import Decompose, GroupQuestions, Groups, JudgeNecessity, MergeTools, ScoreGraph
from astra_jobs.authors.procedural_envs.author import ProceduralEnvironments
from astra_jobs.envs import job
from astra_jobs.envs.export import ExportRow, again, from_row, to_row
from astra_jobs.envs.funnel import CATCHES, FILTERS, Outcome
from astra_jobs.envs.replay import faults
from astra_jobs.envs.verify import CHECKS
from astra_jobs.records.environment import Environment
from astra_jobs.records.funnel import Dropped, StageReport
from astra_jobs.records.lines import read_lines
from astra_jobs.sandbox.protocol import SandboxLimits


def load(folder: Path, file: str) -> list[Environment]:
    return list(read_lines(folder / file, Environment))


def report_of(folder: Path) -> StageReport:
    return next(iter(read_lines(folder / "report.json", StageReport)))


def test_every_filter_drops_exactly_what_was_planted_for_it(finished: Any) -> None:
    report = report_of(finished.merged)
    assert [row.filter for row in report.funnel] == list(FILTERS)
    for row in report.funnel:
        assert row.clean_dropped == 0, row
        assert row.planted_dropped == row.planted == row.dropped, row
        if row.filter in CATCHES.values():
            assert row.dropped > 0, f"{row.filter} drops nothing"
    dropped = list(read_lines(finished.merged / "dropped.jsonl", Dropped))
    assert {(one.labels["defect"], one.filter) for one in dropped} == set(CATCHES.items())
    kept = load(finished.merged, "train.jsonl") + load(finished.merged, "heldout.jsonl")
    assert all("defect" not in environment.labels for environment in kept)
    assert len(kept) + len(dropped) == report.numbers["questions"] == 300


def test_kept_environments_are_proven(finished: Any) -> None:
    report = report_of(finished.merged)
    assert report.numbers["mutationKillRate"] == 1.0
    assert report.numbers["merges"] > 5
    assert report.numbers.get("mergesFailed", 0) == 0
    for environment in load(finished.merged, "train.jsonl"):
        proof = environment.verification
        assert all(proof.checks.values())
        assert set(proof.checks) >= set(CHECKS)
        assert (proof.oracle_reward, proof.no_op_reward) == (1.0, 0.0)
        assert proof.mutants == proof.mutants_killed > 0
        assert environment.scores["quality"] == 1.0
        assert environment.world_seed % 2 == 1


def test_homogeneous_questions_share_one_tool(finished: Any) -> None:
    merged = [one for one in load(finished.merged, "train.jsonl") if "merged" in one.verification.checks]
    assert merged
    for environment in merged:
        scope = [entry for entry in environment.tools if entry.band is None]
        assert len(scope) < len(environment.targets)
        assert all(target.tool in {entry.tool.name for entry in scope} for target in environment.targets)


def test_the_split_is_by_world_and_near_duplicate(finished: Any) -> None:
    train, held = load(finished.merged, "train.jsonl"), load(finished.merged, "heldout.jsonl")
    assert {one.split for one in train} == {"Train"}
    assert {one.split for one in held} == {"HeldOut"}
    assert not {one.world_seed for one in train} & {one.world_seed for one in held}
    assert abs(len(held) / (len(train) + len(held)) - 0.45) < 0.03

    def masked(environment: Environment) -> str:
        return " ".join(
            "#" if any(map(str.isdigit, word)) else word for word in environment.question.replace("?", "").replace(".", "").split()
        )

    assert not {masked(one) for one in train} & {masked(one) for one in held}


def test_distractors_keep_the_rules(finished: Any) -> None:
    for file in ("train.jsonl", "heldout.jsonl"):
        environments = load(finished.merged, file)
        own = {entry.code for environment in environments for entry in environment.tools if entry.band is None}
        seen = set()
        for environment in environments:
            names = [entry.tool.name for entry in environment.tools]
            assert len(set(names)) == len(names)
            bands = [entry.band for entry in environment.tools if entry.band is not None]
            seen |= set(bands)
            assert all(bands.count(band) <= 2 for band in bands)
            assert all(entry.domain != environment.domain for entry in environment.tools if entry.band)
            assert {entry.code for entry in environment.tools} <= own, "a tool of the other split's worlds"
        assert seen == {"High", "Medium", "Low"}


def test_a_written_artifact_replays_under_another_hash_seed_and_clock(finished: Any) -> None:
    environments = load(finished.merged, "train.jsonl") + load(finished.merged, "heldout.jsonl")
    assert len(environments) >= 200
    assert asyncio.run(faults(environments[:200], SandboxLimits())) == {}


def test_a_spoilt_environment_does_not_replay(finished: Any) -> None:
    one, other = load(finished.merged, "train.jsonl")[:2]
    doubled = one.model_copy(update={"id": "doubled", "tools": [*one.tools, one.tools[0]]})
    wrong = one.model_copy(update={"id": "wrong", "oracle": []})
    found = asyncio.run(faults([one, doubled, wrong, other], SandboxLimits()))
    assert sorted(found) == ["doubled", "wrong"]


def test_export_has_the_released_shape_and_comes_back(finished: Any) -> None:
    rows = list(read_lines(finished.merged / "export.jsonl", ExportRow))
    train = load(finished.merged, "train.jsonl")
    assert len(rows) == len(train)
    for row, environment in zip(rows, train, strict=True):
        assert set(row.to_dict()) == {"prompt", "tool_schema", "tool_dict", "sub_qa_dict"}
        held = from_row(row)
        assert again(held) == row == to_row(environment)
        assert held.question == environment.question
        assert sum(map(len, held.answers.values())) == len(environment.targets)
        assert set(json.loads(row.tool_dict)) == {entry.tool.name for entry in environment.tools}


def test_an_imported_row_with_clashing_names_is_refused(finished: Any) -> None:
    row = to_row(load(finished.merged, "train.jsonl")[0])
    schemas = json.loads(row.tool_schema)
    with pytest.raises(BadInput, match="clash"):
        from_row(row.model_copy(update={"tool_schema": json.dumps([*schemas, schemas[0]])}))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_do_not_change_the_artifact(bench: Any, spec_of: Any, tmp_path: Path) -> None:
    spec = spec_of(24, heldOut=0.3)
    made = {}
    for shards in (1, 3):
        run = bench(f"by-{shards}")
        made[shards] = contents(run.merge(spec, [run.synthesise(spec, shard, shards) for shard in range(shards)]))
    assert made[1] == made[3]
    other = bench("other", seed=1)
    assert contents(other.synthesise(spec, 0, 3)) != contents(tmp_path / "by-3" / "shard-0-of-3")


def test_a_killed_shard_goes_on_where_it_was(bench: Any, spec_of: Any, killed: Any, monkeypatch: Any) -> None:
    spec = spec_of(20)
    whole = bench("whole")
    undisturbed = contents(whole.synthesise(spec))
    run = bench("killed")
    run.context(0).journal.most = 12
    with pytest.raises(killed):
        run.synthesise(spec)
    run.journals[0].most = None
    before = {item["index"] for item in run.journals[0].kept}
    assert len(before) == 12
    assert contents(run.synthesise(spec)) == undisturbed
    assert sorted(item["index"] for item in run.journals[0].kept) == list(range(20)), "a question was made twice or never"


def test_told_to_stop_it_keeps_what_it_has(bench: Any, spec_of: Any) -> None:
    run, asked = bench(), iter([False] * 10 + [True] * 1000)
    with pytest.raises(Preempted, match="of 30 questions"):
        run.synthesise(spec_of(30), should_stop=lambda: next(asked))
    assert 0 < len(run.journals[0].kept) < 30


class Stripped:
    """The procedural author without its labels."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def answer(self, request: Request[Any]) -> Any:
        answer = await self.inner.answer(request)
        return answer.model_copy(update={"labels": {}}) if hasattr(answer, "labels") else answer


def verdicts(folder: Path) -> list[tuple[int, str, str]]:
    return [
        (one.index, one.dropped.filter if one.dropped else "", one.dropped.reason if one.dropped else "")
        for one in read_lines(folder / "outcomes.jsonl", Outcome)
    ]


def test_stripping_all_labels_changes_no_verdict(bench: Any, spec_of: Any, finished: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "ProceduralEnvironments", lambda rates: Stripped(ProceduralEnvironments(rates)))
    stripped = verdicts(bench().synthesise(finished.spec, 1, 6))
    assert stripped == [one for one in verdicts(finished.shards[1]) if one[0] % 6 == 1]
    assert len({name for _, name, _ in stripped}) > 6


class Mute:
    """An author whose judges give no verdict."""

    def __init__(self, inner: Any, kinds: tuple[type, ...]) -> None:
        self.inner = inner
        self.kinds = kinds

    async def answer(self, request: Request[Any]) -> Any:
        answer = await self.inner.answer(request)
        if isinstance(request, self.kinds):
            return answer.model_copy(update={"passes": None} if isinstance(request, ScoreGraph) else {"needed": None})
        return answer


@pytest.mark.parametrize("silent", [JudgeNecessity, ScoreGraph], ids=["necessity", "quality"])
def test_unscored_never_passes(bench: Any, spec_of: Any, monkeypatch: Any, silent: type) -> None:
    monkeypatch.setattr(job, "ProceduralEnvironments", lambda rates: Mute(ProceduralEnvironments(rates), (silent,)))
    folder = bench("few").synthesise(spec_of(15))
    report = report_of(folder)
    assert report.numbers["environments"] == 0
    row = next(row for row in report.funnel if row.unscored)
    assert row.filter == ("quality" if silent is ScoreGraph else "necessity")
    assert row.clean_dropped == 0
    with pytest.raises(BadInput, match="got no verdict") as caught:
        bench("many").synthesise(spec_of(60))
    assert caught.value.reason == "TooManyUnscored"


def test_nothing_kept_is_said(bench: Any, spec_of: Any, monkeypatch: Any) -> None:
    run, spec = bench(), spec_of(4)
    monkeypatch.setattr(job, "ProceduralEnvironments", lambda rates: Mute(ProceduralEnvironments(rates), (ScoreGraph,)))
    with pytest.raises(BadInput, match="no training environment") as caught:
        run.merge(spec, [run.synthesise(spec)])
    assert caught.value.reason == "NothingKept"


def test_a_missing_shard_is_said(bench: Any, spec_of: Any) -> None:
    run, spec = bench(), spec_of(6)
    with pytest.raises(BadInput, match="do not make up 6 questions"):
        run.merge(spec, [run.synthesise(spec, 0, 2)])


def test_rates_above_one_are_refused(bench: Any, spec_of: Any) -> None:
    with pytest.raises(BadInput, match=r"add up to"):
        bench().synthesise(spec_of(1, defects={"brokenStructure": 0.9, "wrongAnswer": 0.9}))


class Clumsy:
    """An author who breaks a step of merging."""

    def __init__(self, inner: Any, how: str) -> None:
        self.inner = inner
        self.how = how

    async def answer(self, request: Request[Any]) -> Any:
        if isinstance(request, GroupQuestions) and self.how == "loses a node":
            return Groups(groups=[[context.node.id] for context in request.contexts[1:]])
        if isinstance(request, MergeTools):
            if self.how == "cannot":
                raise AuthorCannot("no")
            answer = await self.inner.answer(request)
            return answer.model_copy(update={"code": request.code if self.how == "loses a row" else "import socket\n" + answer.code})
        return await self.inner.answer(request)


@pytest.mark.parametrize("how", ["loses a node", "cannot", "loses a row", "forbidden code"])
def test_a_failed_merge_keeps_the_unmerged_tools(bench: Any, spec_of: Any, monkeypatch: Any, how: str) -> None:
    monkeypatch.setattr(job, "ProceduralEnvironments", lambda rates: Clumsy(ProceduralEnvironments(rates), how))
    spec = spec_of(12, worlds={"parallel": 1.0, "maxHops": 1, "entityTypes": 2})
    outcomes = list(read_lines(bench().synthesise(spec) / "outcomes.jsonl", Outcome))
    assert sum(one.numbers.get("mergesFailed", 0) for one in outcomes) > 0
    assert sum(one.numbers.get("merges", 0) for one in outcomes) == 0
    kept = [one.environment for one in outcomes if one.environment]
    assert kept
    assert all(len(one.tools) == len(one.targets) and one.verification.oracle_reward == 1.0 for one in kept)


class Elsewhere:
    """An author who was asked about worlds it does not know."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def answer(self, request: Request[Any]) -> Any:
        if isinstance(request, Decompose):
            request = request.model_copy(update={"question": request.question.model_copy(update={"text": "Who built the pyramids?"})})
        return await self.inner.answer(request)


def test_a_question_that_the_author_did_not_ask_is_a_counted_drop(bench: Any, spec_of: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "ProceduralEnvironments", lambda rates: Elsewhere(ProceduralEnvironments(rates)))
    row = report_of(bench().synthesise(spec_of(3))).funnel[0]
    assert (row.filter, row.dropped, row.clean_dropped, row.reasons) == ("authorCannot", 3, 0, {"AuthorCannot": 3})
