"""Where sessions go: little moves, nobody has more than a share, and the load is even."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.sandbox.remote.rendezvous import BOUND, choose, ranked, share

ENDPOINTS = st.lists(st.integers(0, 999).map(lambda n: f"http://10.0.{n // 256}.{n % 256}:8080"), min_size=1, max_size=12, unique=True)
DIGESTS = st.lists(st.integers(0, 10**9).map("sha256:{:064x}".format), min_size=1, max_size=60)


@given(ENDPOINTS, DIGESTS, st.data())
def test_only_what_an_endpoint_had_moves_when_it_leaves(endpoints, digests, data):
    left = data.draw(st.sampled_from(endpoints))
    rest = [endpoint for endpoint in endpoints if endpoint != left]
    for digest in digests:
        assert [endpoint for endpoint in ranked(endpoints, digest) if endpoint != left] == ranked(rest, digest)


@given(ENDPOINTS, DIGESTS)
def test_the_order_of_the_endpoints_does_not_matter(endpoints, digests):
    for digest in digests:
        assert ranked(endpoints, digest) == ranked(endpoints[::-1], digest)


@settings(max_examples=50)
@given(ENDPOINTS, DIGESTS)
def test_no_endpoint_takes_more_than_its_share_of_the_sessions_that_are_open(endpoints, digests):
    loads = dict.fromkeys(endpoints, 0)
    for number, digest in enumerate(digests * 3, start=1):
        taken = choose(loads, digest)
        loads[taken] += 1
        assert loads[taken] <= share(number, len(endpoints))
        assert loads[taken] < BOUND * number / len(endpoints) + 1
    assert sum(loads.values()) == 3 * len(digests)


@given(ENDPOINTS, st.data())
def test_there_is_room_whatever_the_loads_are(endpoints, data):
    loads = {endpoint: data.draw(st.integers(0, 50)) for endpoint in endpoints}
    assert loads[choose(loads, "d")] < share(sum(loads.values()) + 1, len(loads))


def test_sessions_of_one_environment_stay_together_until_the_share_is_full():
    endpoints = [f"http://10.0.0.{n}:8080" for n in range(4)]
    first, second = ranked(endpoints, "one")[:2]
    loads = dict.fromkeys(endpoints, 40)
    for _ in range(share(161, 4) - 40):
        assert choose(loads, "one") == first
        loads[first] += 1
    while loads[first] >= share(sum(loads.values()) + 1, 4):
        assert choose(loads, "one") == second
        loads[second] += 1


def test_environments_spread_evenly():
    endpoints = [f"http://10.0.0.{n}:8080" for n in range(8)]
    won = Counter(ranked(endpoints, f"sha256:{n}")[0] for n in range(8000))
    assert all(850 <= won[endpoint] <= 1150 for endpoint in endpoints), won


def test_no_endpoint_is_no_choice():
    with pytest.raises(ValueError, match="no endpoint"):
        choose({}, "d")
