"""Every filter drops exactly what was planted for it, and labels change no verdict."""

import asyncio
import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

from astra_jobs.api.base import Model
from astra_jobs.api.v1alpha1.author import ChainDefects
from astra_jobs.authors.base import Request
from astra_jobs.authors.procedural_chains import ProceduralChains
from astra_jobs.chains.funnel import CATCHES, FILTERS
from astra_jobs.chains.server import Synthesis
from astra_jobs.episodes.observation import result_text
from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import Dropped
from astra_jobs.records.lines import read_lines
from astra_jobs.records.tool import Server
from tests.unit.chains.chain_kit import author_of, mcp_server, rows_in, run_all, server_of, spec_of, without_labels

AnswerT = TypeVar("AnswerT", bound=Model)

RATES = dict.fromkeys(ChainDefects.model_fields, 0.05) | {"endless": 0.02, "unreadable_verdict": 0.02, "misread_result": 0.1}
AUTHOR = author_of(RATES, early_stop=0.3, redundant_call=0.3)
SPEC = spec_of(AUTHOR, seed=5)
SERVERS = 36
# Filters of the merge, which need two servers with the same documents, and the refusal of foreign servers.
ELSEWHERE = {"authorCannot", "globalExactDuplicate", "globalNearDuplicate", "recoveryQuota"}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    servers = [*(server_of(index) for index in range(SERVERS)), mcp_server()]
    return run_all(tmp_path_factory.mktemp("filters"), SPEC, servers, shards=2)


@pytest.mark.parametrize("name", [name for name in FILTERS if name not in ELSEWHERE])
def test_filter_drops_exactly_what_was_planted_for_it(artifact: Path, name: str) -> None:
    row = rows_in(artifact)[name]
    assert row.planted > 0, "nothing was planted for this filter, so it proves nothing"
    assert row.planted_dropped == row.planted
    assert row.clean_dropped == 0
    assert row.seen > row.dropped > 0


def test_every_defect_of_the_spec_is_planted(artifact: Path) -> None:
    dropped = {drop.labels["defect"] for drop in read_lines(artifact / "dropped.jsonl", Dropped) if "defect" in drop.labels}
    assert dropped == {label for label, name in CATCHES.items() if name not in ELSEWHERE}


def test_each_defect_is_caught_by_its_filter_only(artifact: Path) -> None:
    for drop in read_lines(artifact / "dropped.jsonl", Dropped):
        if drop.reason not in ("Unscored", "AuthorCannot"):
            assert CATCHES[drop.labels["defect"]] == drop.filter, drop


def test_selected_samples_hold_no_defect_and_keep_the_mild_faults(artifact: Path) -> None:
    samples = list(read_lines(artifact / "samples.jsonl", Conversation))
    assert not [sample.id for sample in samples if "defect" in sample.labels]
    kept = [sample.labels.get("imperfection") for sample in samples]
    assert kept.count("earlyStop") > 20
    assert kept.count("redundantCall") > 20
    assert all(min(sample.scores.values()) >= 0.5 for sample in samples)
    assert all(sum(sample.scores.values()) / len(sample.scores) >= 0.85 - 1e-6 for sample in samples)
    assert {sample.labels["origin"] for sample in samples} == {"procedural"}


def test_samples_hold_all_shapes_and_recovered_faults(artifact: Path) -> None:
    samples = list(read_lines(artifact / "samples.jsonl", Conversation))
    clean = [sample for sample in samples if "imperfection" not in sample.labels and not any(call.fault for call in sample.calls)]
    assert {len(sample.calls) for sample in clean} >= {1, 2, 3}
    assert any(len(message.tool_calls) > 1 for sample in clean for message in sample.messages)
    assert sum(any(call.fault for call in sample.calls) for sample in samples) > 10


def test_messages_have_the_form_of_episodes(artifact: Path) -> None:
    for sample in read_lines(artifact / "samples.jsonl", Conversation):
        assert [message.role for message in sample.messages[:2]] == ["user", "assistant"]
        assert sample.messages[-1].role == "assistant"
        assert not sample.messages[-1].tool_calls
        texts = [message for message in sample.messages if message.role == "tool"]
        assert [message.name for message in texts] == [call.tool for call in sample.calls]
        for message, call in zip(texts, sample.calls, strict=True):
            if call.status == "ok":
                shown = json.loads(message.content)
                assert shown == call.value
                assert message.content == result_text(shown, 4096)
            elif call.fault == "timeout":
                assert message.content == '{"error":"timeout"}'
        offered = {tool.name for tool in sample.tools}
        assert offered >= {call.tool for call in sample.calls}
        assert len(offered) == len(sample.tools)


def test_originals_come_once_and_rewritings_at_most_once(artifact: Path) -> None:
    ids = [record.id for name in ("samples", "rejected") for record in read_lines(artifact / f"{name}.jsonl", Conversation)]
    assert len(ids) == len(set(ids))


def test_rejected_records_name_their_filter(artifact: Path) -> None:
    rejected = list(read_lines(artifact / "rejected.jsonl", Conversation))
    assert rejected
    assert {record.labels["filter"] for record in rejected} <= set(FILTERS)


def test_foreign_server_is_one_counted_drop(artifact: Path) -> None:
    row = rows_in(artifact)["authorCannot"]
    assert (row.seen, row.dropped, row.reasons, row.clean_dropped) == (SERVERS + 1, 1, {"AuthorCannot": 1}, 0)
    drops = [drop for drop in read_lines(artifact / "dropped.jsonl", Dropped) if drop.filter == "authorCannot"]
    assert [(drop.what, drop.name) for drop in drops] == [("server", "files")]


def test_card_tells_yields_with_intervals(artifact: Path) -> None:
    card = json.loads((artifact / "card.json").read_text())
    assert card["samples"] == sum(1 for _ in read_lines(artifact / "samples.jsonl", Conversation))
    assert [row["filter"] for row in card["yields"]] == list(FILTERS)
    for row in card["yields"]:
        assert 0 <= row["low"] <= (row["kept"] / row["seen"] if row["seen"] else 1) <= row["high"] <= 1
    assert card["numbers"]["canaryAccuracy.conversation"] >= 0.9


class Unlabelled:
    """An author whose answers carry no label."""

    def __init__(self, author: ProceduralChains) -> None:
        self.author = author

    async def answer(self, request: Request[AnswerT]) -> AnswerT:
        answer: AnswerT = without_labels(await self.author.answer(request))
        return answer


def test_labels_change_no_verdict() -> None:
    def verdicts(author: Any, servers: list[Server]) -> list[Any]:
        synthesis = Synthesis(SPEC, author)
        results = [asyncio.run(synthesis.run(server)) for server in servers]
        keep = ("id", "tools", "messages", "calls", "scores", "provenance")
        samples = [[{key: line.get(key) for key in keep} for line in result.samples] for result in results]
        drops = [[(line["name"], line["filter"], line["reason"]) for line in result.dropped] for result in results]
        return [samples, drops]

    servers = [server_of(index) for index in range(6)]
    author = ProceduralChains(AUTHOR, SPEC.seed)
    labelled = verdicts(author, servers)
    assert sum(map(len, labelled[1])) > 20
    assert verdicts(Unlabelled(author), servers) == labelled
