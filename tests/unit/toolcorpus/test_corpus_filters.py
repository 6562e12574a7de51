"""Every filter drops exactly what was planted for it; a filter that drops nothing fails here; labels change no verdict."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.corpus import CorpusFilters, ProceduralSource
from astra_jobs.toolcorpus.filter import Sieve
from astra_jobs.toolcorpus.raw import RawServer, RawTool
from astra_jobs.toolcorpus.report import CATCHES
from astra_jobs.toolcorpus.sources.procedural import collect_procedural


def stream(*names: object) -> random.Random:
    return random.Random(digest_of([7, *map(str, names)]))


def planted(servers: int = 400, defects: float = 0.2, filters: CorpusFilters | None = None, **worlds: int) -> list[RawServer]:
    source = ProceduralSource(servers=servers, defects=defects, worlds=ProceduralWorlds(**worlds))
    return collect_procedural("worlds", source, filters or CorpusFilters(), stream)


def sift(servers: list[RawServer], filters: CorpusFilters | None = None) -> Sieve:
    sieve = Sieve(filters or CorpusFilters())
    for server in servers:
        sieve.add(server)
    return sieve


@pytest.mark.parametrize(
    ("filters", "types"),
    [
        (CorpusFilters(), 3),
        (CorpusFilters(), 2),
        (CorpusFilters(min_tools_per_server=1, min_description_words=0), 3),
        (CorpusFilters(min_tools_per_server=5, min_description_words=4), 3),
    ],
)
def test_each_filter_drops_exactly_what_was_planted_for_it(filters: CorpusFilters, types: int) -> None:
    sieve = sift(planted(filters=filters, entity_types=types, max_hops=2), filters)
    rows = {row.filter: row for row in sieve.funnel.counts()}
    assert set(rows) == set(CATCHES)
    assert rows.pop("reachable").dropped == 0, "procedural servers are always there"
    for row in rows.values():
        assert row.planted == row.planted_dropped == row.dropped == 20, row
        assert row.clean_dropped == 0
    assert sum(row.dropped for row in rows.values()) == len(sieve.funnel.dropped) == 80
    assert len(sieve.kept) == 400 - 40
    for item in sieve.funnel.dropped:
        assert item.labels == {"origin": "procedural", "defect": CATCHES[item.filter]}


def test_all_ways_of_spoiling_a_schema_and_a_description_are_caught() -> None:
    sieve = sift(planted(servers=2000, defects=0.4))
    reasons = Counter(item.reason for item in sieve.funnel.dropped)
    assert set(reasons) == {
        "SchemaNotAnObject",
        "BadDescription",
        "BadText",
        "NotFinite",
        "SchemaInvalid",
        "ReferenceUnresolved",
        "MissingDescription",
        "VagueDescription",
        "TooFewTools",
        "SameTools",
    }


def test_labels_change_no_verdict() -> None:
    servers = planted()
    bare = [replace(server, labels={}, tools=[replace(tool, labels={}) for tool in server.tools]) for server in servers]
    told, blind = sift(servers), sift(bare)
    assert [item.model_copy(update={"labels": {}}) for item in told.funnel.dropped] == blind.funnel.dropped
    assert [item.model_copy(update={"labels": {}}) for item in told.kept] == blind.kept


def test_without_defects_everything_stays_whole() -> None:
    sieve = sift(planted(defects=0.0))
    assert len(sieve.kept) == 400
    assert sieve.funnel.dropped == []
    assert all(len(server.tools) == 6 for server in sieve.kept)


def test_worlds_have_even_seeds_and_are_all_different() -> None:
    servers = planted(defects=0.0)
    seeds = [server.world.seed for server in servers if server.world]
    assert len(set(seeds)) == 400
    assert all(seed % 2 == 0 for seed in seeds)


def test_small_worlds_that_look_alike_are_not_made_twice() -> None:
    sieve = sift(planted(servers=6000, defects=0.0, entity_types=2, max_hops=2))
    assert len(sieve.kept) == 6000
    assert sieve.clusters.found() == []


@pytest.mark.parametrize("servers", [1, 2, 3, 10])
def test_few_servers_can_carry_defects_too(servers: int) -> None:
    sieve = sift(planted(servers=servers, defects=0.9))
    assert all(row.planted == row.dropped for row in sieve.funnel.counts())


def test_clusters_name_the_kept_server_and_its_copies() -> None:
    first, second, third = planted(servers=3, defects=0.0)
    shuffled = replace(first, name="b", tools=list(reversed(first.tools)))
    sieve = sift([first, second, shuffled, third, replace(first, name="c")])
    assert [server.name for server in sieve.kept] == [first.name, second.name, third.name]
    (cluster,) = sieve.clusters.found()
    assert (cluster.kept, cluster.copies) == (first.name, ["b", "c"])
    assert [item.detail for item in sieve.funnel.dropped] == [f"offers the same tools as {first.name}"] * 2


def real(*names: str, description: str = "does a thing") -> RawServer:
    tools = [RawTool(name, description, {"type": "object", "properties": {}}) for name in names]
    return RawServer(name="s", origin="Mcp", domain="s", tools=tools, source="", version="", licence="")


def test_two_tools_of_one_name_leave_one() -> None:
    sieve = sift([real("a.b", "a_b", "c", "d", "a_b")])
    assert [tool.called for tool in sieve.kept[0].tools] == ["a.b", "a_b", "c", "d"]
    assert [(item.name, item.reason) for item in sieve.funnel.dropped] == [("s/a_b", "NameTaken")]
    renamed = sieve.kept[0].tools[0].name
    assert sieve.losses == [f"s/a.b: renamed to {renamed}: names are 1 to 64 letters, digits, _ and -; its server knows it by the old one"]
    assert all(row.clean_dropped == 0 for row in sieve.funnel.counts()), "real servers are outside the confusion matrix"


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("查询指定城市未来七天的天气预报", None),
        ("指定された都市の天気予報を取得します", None),
        ("พยากรณ์อากาศ", None),
        ("날씨 예보", None),
        ("天气", "VagueDescription"),
        ("weather", "VagueDescription"),
        ("👍 👍 👍", "VagueDescription"),
        (". . .", "VagueDescription"),
        (" \n", "MissingDescription"),
    ],
)
def test_vague_descriptions_are_measured_in_every_script(description: str, reason: str | None) -> None:
    sieve = sift([real("a", "b", "c", description=description)])
    assert [item.reason for item in sieve.funnel.dropped] == ([] if reason is None else [reason] * 3 + ["TooFewTools"])
