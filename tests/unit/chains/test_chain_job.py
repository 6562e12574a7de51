"""Shards, order, kills and bad input change nothing, or end with a named reason."""

import json
import random
from pathlib import Path

import pytest

from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs
from astra_jobs.chains import job
from astra_jobs.chains.server import Synthesis
from tests.unit.chains.chain_kit import (
    Killed,
    ShortJournal,
    author_of,
    bytes_in,
    context,
    fresh,
    mcp_server,
    report_in,
    request_of,
    rows_in,
    run_all,
    run_merge,
    server_of,
    spec_of,
    write_corpus,
)

SPEC = spec_of(seed=3, walks={"minLength": 1, "maxLength": 3, "perServer": 3})
SERVERS = [*(server_of(index) for index in range(7)), mcp_server()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return bytes_in(run_all(tmp_path_factory.mktemp("one"), SPEC, SERVERS))


@pytest.mark.parametrize("shards", [2, 5])
def test_any_number_of_shards_gives_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes], shards: int) -> None:
    assert bytes_in(run_all(tmp_path, SPEC, SERVERS, shards)) == undisturbed


def test_order_of_servers_and_batches_gives_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = list(SERVERS)
    random.Random(1).shuffle(shuffled)
    monkeypatch.setattr(job, "IN_FLIGHT", 3)
    assert bytes_in(run_all(tmp_path, SPEC, shuffled, 2)) == undisturbed


def test_another_seed_gives_other_samples(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    other = bytes_in(run_all(tmp_path, spec_of(seed=4, walks={"minLength": 1, "maxLength": 3, "perServer": 3}), SERVERS))
    assert other["samples.jsonl"] != undisturbed["samples.jsonl"]


@pytest.mark.parametrize("dies_after", [1, 6])
def test_killed_shard_goes_on_from_its_journal(
    tmp_path: Path, undisturbed: dict[str, bytes], dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = write_corpus(tmp_path, SERVERS)
    request = request_of(SPEC, "synthesise")
    first = ShortJournal(dies_after=dies_after)
    with pytest.raises(Killed):
        job.synthesise(request, inputs, fresh(tmp_path / "killed"), context(tmp_path, journal=first))
    committed = [json.loads(json.dumps(line)) for line in first.lines]
    again: list[str] = []
    run = Synthesis.run

    async def counted(self: Synthesis, server: object) -> object:
        again.append(server.name)  # type: ignore[attr-defined]
        return await run(self, server)  # type: ignore[arg-type]

    monkeypatch.setattr(Synthesis, "run", counted)
    out = fresh(tmp_path / "resumed")
    job.synthesise(request, inputs, out, context(tmp_path, journal=ShortJournal(list(committed))))
    assert len(again) == len(SERVERS) - dies_after
    assert not {line["server"] for line in committed} & set(again)
    assert bytes_in(run_merge(tmp_path, SPEC, {"synthesise/0": out})) == undisturbed


def test_told_to_stop_it_keeps_what_is_finished(tmp_path: Path) -> None:
    inputs = write_corpus(tmp_path, SERVERS)
    with pytest.raises(Preempted, match="0 of 8 servers"):
        job.synthesise(request_of(SPEC, "synthesise"), inputs, fresh(tmp_path / "out"), context(tmp_path, stop=True))


def test_more_shards_than_servers_leave_empty_shards(tmp_path: Path) -> None:
    inputs = write_corpus(tmp_path, SERVERS[:1])
    out = fresh(tmp_path / "out")
    metrics = job.synthesise(request_of(SPEC, "synthesise", 4), inputs, out, context(tmp_path, shard=3))
    assert metrics == {"samples": 0, "rejected": 0, "dropped": 0}
    assert report_in(out).numbers == {}


def test_two_servers_of_one_name_are_refused(tmp_path: Path) -> None:
    inputs = write_corpus(tmp_path, [SERVERS[0], SERVERS[0]])
    with pytest.raises(BadInput, match="two servers are named 'worlds-00000'"):
        job.synthesise(request_of(SPEC, "synthesise"), inputs, fresh(tmp_path / "out"), context(tmp_path))


def test_only_foreign_servers_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        run_all(tmp_path, SPEC, [mcp_server()])
    assert caught.value.reason == "NothingKept"


def test_unscored_never_passes_and_too_many_stop_the_run(tmp_path: Path) -> None:
    author = author_of({"unreadable_verdict": 0.6})
    judge = {"minCanaryAccuracy": 0.0, "maxUnscored": 1.0}
    lenient = spec_of(author, judge=judge, verify={"votes": 3, "quorum": 3})
    merged = run_all(tmp_path / "lenient", lenient, SERVERS[:4])
    rows = rows_in(merged)
    for name in ("coherence", "backTranslation", "meaning", "questionQuality", "queryUnderstanding"):
        assert rows[name].unscored == rows[name].reasons["Unscored"] > 0, name
        assert rows[name].clean_dropped == 0
    clean = rows_in(run_all(tmp_path / "clean", spec_of(author_of()), SERVERS[:4]))
    assert rows["recoveryQuota"].seen < clean["recoveryQuota"].seen
    with pytest.raises(BadInput) as caught:
        run_all(tmp_path / "strict", spec_of(author, judge=judge | {"maxUnscored": 0.1}), SERVERS[:4])
    assert caught.value.reason == "TooManyUnscored"


def test_unreliable_judges_stop_before_anything_is_made(tmp_path: Path) -> None:
    inputs = write_corpus(tmp_path, SERVERS[:2])
    spec = spec_of(author_of({"unreadable_verdict": 0.8}))
    journal = ShortJournal()
    with pytest.raises(BadInput) as caught:
        job.synthesise(request_of(spec, "synthesise"), inputs, fresh(tmp_path / "out"), context(tmp_path, journal=journal))
    assert caught.value.reason == "JudgeUnreliable"
    assert journal.lines == []


def test_flawless_author_loses_nothing(tmp_path: Path) -> None:
    rows = rows_in(run_all(tmp_path, spec_of(author_of()), SERVERS[:4]))
    assert {name: row.dropped for name, row in rows.items() if row.dropped} == {}


def test_a_tool_that_the_corpus_dropped_is_not_missed(tmp_path: Path) -> None:
    """The author knows a world whole, a server may offer less of it: no clean chain or task may be lost for that."""
    less = [server.model_copy(update={"tools": server.tools[1:]}) for server in SERVERS[:8]]
    rows = rows_in(run_all(tmp_path, spec_of(author_of()), less))
    assert sum(row.seen for row in rows.values()) > 0
    assert {name: row.clean_dropped for name, row in rows.items() if row.clean_dropped} == {}


def test_the_merge_refuses_to_lose_a_shard(tmp_path: Path) -> None:
    inputs = write_corpus(tmp_path, SERVERS[:4])
    out = fresh(tmp_path / "synthesise-0")
    job.synthesise(request_of(SPEC, "synthesise", 2), inputs, out, context(tmp_path, 0))
    two = SPEC.model_copy(update={"shards": 2})
    with pytest.raises(BadInput, match="1 of 2 shards"):
        job.merge(request_of(two, "merge"), Inputs({}, {"synthesise/0": out}), fresh(tmp_path / "merge"), context(tmp_path))
