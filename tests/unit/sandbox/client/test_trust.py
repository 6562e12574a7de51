"""No code goes to a server that is not what was promised."""

import asyncio

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import SandboxService
from astra_jobs.api.v1alpha1.status import REASONS
from astra_jobs.sandbox.protocol import SandboxLimits
from astra_jobs.sandbox.remote import settings_of
from astra_jobs.sandbox.remote.trust import check
from tests.unit.sandbox.client.fake import capabilities, fakes
from tests.unit.sandbox.client.kit import TOOLS, client

URL = "http://10.0.0.1:8080"


@pytest.mark.parametrize(
    ("promised", "told"),
    [
        ("gVisor", capabilities(True)),
        ("Process", capabilities(False)),
        ("Process", capabilities(True)),
        ("Process", {**capabilities(False), "walls": {"encoder": {"holds": False, "evidence": "not tested"}}}),
    ],
)
def test_what_is_shown_is_taken(promised, told):
    check(URL, promised, told)


@pytest.mark.parametrize(
    ("promised", "told", "found"),
    [
        ("gVisor", capabilities(False, "no kernel message begins with 'Starting gVisor'"), "not in gVisor: no kernel message begins"),
        ("gVisor", capabilities(True, ""), "shows nothing for it"),
        ("gVisor", {**capabilities(True), "properties": {"gvisor": {"holds": False, "evidence": "runc"}}}, "shows nothing for it"),
        ("gVisor", {**capabilities(True), "properties": {"gvisor": "yes"}}, "shows nothing for it"),
        ("gVisor", {**capabilities(True), "properties": None}, "shows nothing for it"),
        ("Process", None, "tells of no walls"),
        ("Process", [], "tells of no walls"),
        ("Process", {}, "tells of no walls"),
        ("Process", {**capabilities(False), "walls": {}}, "tells of no walls"),
        (
            "Process",
            {**capabilities(False), "walls": {"files_open": {"holds": False, "evidence": "switched off"}}},
            "files_open .*switched off",
        ),
        ("Process", {**capabilities(False), "walls": {"encoder": {"holds": False, "evidence": "switched off"}}}, "encoder .*switched off"),
        ("Process", {**capabilities(False), "walls": {"network": {"holds": False, "evidence": "not tested"}}}, "network .*not tested"),
        ("gVisor", {**capabilities(True), "walls": {"network": {"holds": True, "evidence": ""}}}, "network .*nothing is shown"),
        ("Process", {**capabilities(False), "walls": {"network": {"holds": 1, "evidence": "EPERM"}}}, "network does not hold"),
    ],
)
def test_what_is_not_shown_is_refused_and_named(promised, told, found):
    with pytest.raises(BadInput, match=rf"{URL} was promised to have isolation {promised}, found: .*{found}.*; (run|use) ") as caught:
        check(URL, promised, told)
    assert caught.value.reason == "SandboxRuntimeMissing"
    assert caught.value.reason in REASONS
    assert "\n" not in str(caught.value)


def test_another_version_of_the_protocol_is_named():
    with pytest.raises(BadInput, match="speaks version 2 of the protocol, this job 1; use one version"):
        check(URL, "Process", capabilities(False, protocol=2))


def test_limits_other_than_the_jobs_are_named():
    limits = SandboxLimits(seconds=1.5, memory_mib=128, output_chars=100)
    same = {"seconds": 1.5, "memory_mib": 128, "output_chars": 100}
    check(URL, "Process", capabilities(False, limits=same), limits)
    for told in ({**same, "seconds": 2.0}, None):
        with pytest.raises(BadInput, match=r"sandbox.limits: .* this job counts on .*'seconds': 1.5.*; start the pool"):
            check(URL, "Process", capabilities(False, limits=told), limits)


@pytest.mark.parametrize("told", [{}, {"variants": 1}, {"variants": True}, {"variants": "2"}, {"variants": None}])
def test_a_variant_that_is_not_offered_is_named(told):
    check(URL, "Process", capabilities(False, **told), variant=0)
    check(URL, "Process", capabilities(False, variants=2), variant=1)
    with pytest.raises(BadInput, match=r"sandbox.variant: .* offers .*, this job needs 2; start the pool with ASTRA_SANDBOX_V") as caught:
        check(URL, "Process", capabilities(False, **told), variant=1)
    assert caught.value.reason == "SandboxRuntimeMissing"
    assert "\n" not in str(caught.value)


def test_a_server_without_the_variant_gets_no_code():
    async def body():
        async with fakes(1) as [server]:
            with pytest.raises(BadInput, match="offers 1 of the variants"):
                async with client([server], variant=1):
                    pass
            assert server.seen["envs"] == server.seen["sessions"] == 0

    asyncio.run(body())


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("variant", [0, 1])
def test_a_session_is_made_and_made_again_in_its_variant(variant, json):
    async def body():
        async with fakes(1, told=capabilities(False, variants=2)) as [server], client([server], variant=variant, json=json) as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            first = await sandbox.call(session, 0, "add", {"x": 1})
            server.restart()
            second = await sandbox.call(session, 1, "add", {"x": 1})
            assert (first.outcome, second.outcome) == ("ok", "ok")
            assert server.variants == [variant] * 3, "made, not made for want of its environment, made again"

    asyncio.run(body())


def test_the_settings_are_those_of_the_request(tmp_path):
    key = tmp_path / "key"
    key.write_text("a-key\n")
    service = SandboxService(urls=["http://pool.team.svc:8080"], key_file=str(key), isolation="gVisor")
    settings = settings_of(service, SandboxLimits())
    assert (settings.urls, settings.key, settings.isolation) == (("http://pool.team.svc:8080",), "a-key", "gVisor")
    assert "a-key" not in repr(settings)
    assert (settings.variant, settings_of(service, SandboxLimits(), 1).variant) == (0, 1)


@pytest.mark.parametrize(
    ("content", "isolation"), [(None, "gVisor"), (b"", "gVisor"), (b"a\nb", "gVisor"), (b"\xff", "gVisor"), (b"k", "none")]
)
def test_what_cannot_be_used_of_a_request_is_named(tmp_path, content, isolation):
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    service = SandboxService(urls=["http://pool.team.svc:8080"], key_file=str(key), isolation=isolation)
    with pytest.raises(BadInput, match=r"sandbox\.(keyFile|isolation): "):
        settings_of(service, SandboxLimits())


def test_a_server_without_the_promised_isolation_gets_no_code():
    async def body():
        async with fakes(2) as servers:
            servers[0].told = servers[1].told = capabilities(False)
            with pytest.raises(BadInput) as caught:
                async with client(servers, isolation="gVisor"):
                    pass
            assert caught.value.reason == "SandboxRuntimeMissing"
            assert not any(server.seen["envs"] or server.seen["sessions"] for server in servers)

    asyncio.run(body())


def test_a_server_that_comes_later_is_looked_at_too():
    async def body():
        async with fakes(2, told=capabilities(True)) as servers:
            servers[1].told = capabilities(False)
            async with client(servers[:1], isolation="gVisor") as sandbox:
                environment = await sandbox.put(TOOLS)
                await sandbox.open(environment, 0)
                sandbox._fleet.endpoints._found["later"] = [servers[1].url]
                await sandbox._fleet._refresh()
                opened = await asyncio.gather(*(sandbox.open(environment, seed) for seed in range(40)), return_exceptions=True)
                refused = [str(error) for error in opened if isinstance(error, BadInput)]
                assert refused
                assert all("is not in gVisor" in error for error in refused)
            assert servers[0].seen["envs"] == 1
            assert servers[1].seen["envs"] == 0
            assert servers[1].seen["capabilities"] == 1

    asyncio.run(body())


def test_a_server_that_came_back_as_another_is_looked_at_again():
    async def body():
        async with fakes(1, told=capabilities(True)) as [server], client([server], isolation="gVisor") as sandbox:
            session = await sandbox.open(await sandbox.put(TOOLS), 0)
            assert (await sandbox.call(session, 0, "add", {"x": 1})).outcome == "ok"
            server.restart()
            server.told = capabilities(False)
            with pytest.raises(BadInput, match="is not in gVisor"):
                await sandbox.call(session, 1, "add", {"x": 1})
            assert server.seen["envs"] == 1

    asyncio.run(body())


def test_a_wrong_key_is_one_clear_error_and_not_tried_again():
    async def body():
        async with fakes(1) as [server]:
            with pytest.raises(BadInput, match=r"sandbox.key: http://127.0.0.1:\d+ answered 401 .*; give the key") as caught:
                async with client([server], key="another"):
                    pass
            assert "another" not in str(caught.value)
            assert server.seen == {}

    asyncio.run(body())
