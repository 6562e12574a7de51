"""The real operator behind a proxy that injects faults: a chain of runs ends as on a calm day, nothing is doubled, nobody is flooded.

Every fault has a namespace, a gate of the proxy and an operator of its own, and all of them live at the same time (`faults.lives`).
"""

import json
import ssl
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster.faults.gates import busiest, of_objects, of_the_rest
from tests.cluster.faults.lives import CALM, FAULTS, OUTAGES, Life, lead_all
from tests.cluster.operator_team import IDENTITY
from tests.cluster.plane.plane import ControlPlane
from tests.patience import patience

MOST_REQUESTS = 10
"""That one object may get in a minute."""
MOST_OF_THE_REST = 60
"""Of one kind of list, watch or look-up, or of the Lease, in a minute."""
EVERY = [*FAULTS, *OUTAGES]


@pytest.fixture(scope="module")
def lives(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Life]]:
    plane.require_own()
    with lead_all(plane, tmp_path_factory.mktemp("faults")) as lives:
        yield lives


@pytest.mark.parametrize("name", EVERY)
def test_the_end_is_that_of_a_calm_day_and_nothing_is_doubled(lives: dict[str, Life], name: str) -> None:
    life, calm = lives[name], lives[CALM]
    assert life.problem == ""
    assert life.picture == calm.picture
    assert [item for item, count in Counter(life.made).items() if count > 1] == []
    # A launch whose request got no workload is given up for one of the next number, and is no restart.
    assert Counter(map(stage_of, workloads(life))) == Counter(map(stage_of, workloads(calm)))
    assert {item.partition("/")[2] for item in workloads(life)} <= {item.partition("/")[2] for item in life.made if "configmaps/" in item}


def workloads(life: Life) -> list[str]:
    return [item for item in life.made if not item.startswith("configmaps/")]


def stage_of(workload: str) -> str:
    return workload.rpartition("-")[0]


def test_a_calm_life_makes_six_workloads(lives: dict[str, Life]) -> None:
    assert len(workloads(lives[CALM])) == 6, "five stages and one restart"
    assert lives[CALM].injected == {}


@pytest.mark.parametrize("name", EVERY)
def test_no_object_is_asked_for_more_than_ten_times_a_minute(lives: dict[str, Life], name: str) -> None:
    life = lives[name]
    count, what = busiest(of_objects(life.requests))
    rest, other = busiest(of_the_rest(life.requests))
    print(f"{name}: {life.seconds:.0f} s, {len(life.requests)} requests, {count} of {what}, {rest} of {other}, {life.injected}")
    assert 0 < count <= MOST_REQUESTS, what
    assert 0 < rest <= MOST_OF_THE_REST, other


@pytest.mark.parametrize("name", EVERY)
def test_the_proxy_really_injected_what_it_says(lives: dict[str, Life], name: str) -> None:
    wanted = {fault for fault, value in vars(lives[name].faults).items() if value} - {"held"}
    assert set(lives[name].injected) == wanted
    assert all(count >= 3 for count in lives[name].injected.values())


def test_the_count_of_the_proxy_is_that_of_the_audit_log(lives: dict[str, Life]) -> None:
    life = lives[CALM]
    seen = Counter(what for what, _ in of_objects(life.requests))
    audited: Counter[str] = Counter()
    for event in life.audited:
        about = event["objectRef"]
        if event["user"].get("username") == IDENTITY and "name" in about and about["resource"] != "leases":
            audited[f"{about['resource']}/{about['name']}"] += 1
    assert seen == audited


def test_a_client_that_does_not_wait_is_found_by_the_count(plane: ControlPlane, lives: dict[str, Life]) -> None:
    life = lives[CALM]
    trust = ssl.create_default_context(cadata=plane.authority.pair.certificate.decode())
    url = f"{life.gate.server}/api/v1/namespaces/{life.team.namespace}/configmaps/astra-team"
    for _ in range(MOST_REQUESTS + 1):
        with urllib.request.urlopen(url, context=trust, timeout=patience()) as answer:
            assert json.load(answer)["kind"] == "ConfigMap"
    count, what = busiest(of_objects(life.gate.requests()))
    assert count > MOST_REQUESTS
    assert what == "configmaps/astra-team"
