"""Servers behind a name, and what is kept when a look-up fails."""

import asyncio

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.remote.endpoints import Endpoints, lookup


def names(*answers):
    """Return a look-up that gives these answers one after the other."""
    given = iter(answers)

    async def look(host, port):
        assert (host, port) == ("pool.team.svc", 8080)
        answer = next(given)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


def test_a_name_is_all_its_addresses_and_is_looked_up_again():
    async def body():
        endpoints = Endpoints(["http://pool.team.svc:8080"], names(["10.0.0.1", "fd00::2"], ["10.0.0.1"], ["10.0.0.1"]))
        assert endpoints.current == []
        assert await endpoints.refresh()
        assert endpoints.current == ["http://10.0.0.1:8080", "http://[fd00::2]:8080"]
        assert await endpoints.refresh()
        assert endpoints.current == ["http://10.0.0.1:8080"]
        assert not await endpoints.refresh()

    asyncio.run(body())


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long"), []])
def test_a_look_up_that_fails_changes_nothing(failure):
    async def body():
        endpoints = Endpoints(["http://pool.team.svc:8080/"[:-1]], names(["10.0.0.1"], failure))
        await endpoints.refresh()
        assert not await endpoints.refresh()
        assert endpoints.current == ["http://10.0.0.1:8080"]

    asyncio.run(body())


def test_each_of_several_urls_is_looked_up_and_https_is_taken_as_it_is():
    async def look(host, port):
        return {"a": ["10.0.0.1", "10.0.0.2"], "b": ["10.0.0.2"]}[host]

    async def body():
        endpoints = Endpoints(["http://a:1", "http://b:1", "http://a:1", "https://c:1"], look)
        assert endpoints.current == ["https://c:1"]
        assert await endpoints.refresh()
        assert endpoints.current == ["http://10.0.0.1:1", "http://10.0.0.2:1", "https://c:1"]

    asyncio.run(body())


def test_the_system_resolves_an_address_to_itself():
    assert asyncio.run(lookup("127.0.0.1", 80)) == ["127.0.0.1"]


@pytest.mark.parametrize("url", ["", "pool:8080", "ftp://pool", "http://", "http://pool:99999", "http://pool?x=1", "http://[::1"])
def test_what_is_no_url_is_named(url):
    with pytest.raises(BadInput, match=r"sandbox.url: found .*; write http://HOST:PORT"):
        Endpoints([url])


def test_no_url_at_all_is_refused():
    with pytest.raises(BadInput, match="no URL was given"):
        Endpoints([])
