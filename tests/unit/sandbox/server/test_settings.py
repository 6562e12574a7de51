"""What the server is told, and how it says what is wrong with it."""

from pathlib import Path

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool.settings import Walls
from astra_jobs.sandbox.server.settings import OPTIONS, known_requirements, server_settings


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return str(path)


def test_a_key_is_all_that_has_to_be_told(key: str) -> None:
    settings = server_settings(["--key-file", key], {})
    assert settings.key == b"0123456789abcdef0123456789abcdef"
    assert (settings.host, settings.port, settings.require) == ("127.0.0.1", 8080, ())
    assert "0123456789abcdef" not in repr(settings)


def test_the_environment_tells_the_same_and_arguments_win(key: str) -> None:
    environment = {"ASTRA_SANDBOX_KEY_FILE": key, "ASTRA_SANDBOX_MEMORY_MIB": "512", "ASTRA_SANDBOX_PORT": "1", "KEY_FILE": "no"}
    settings = server_settings(["--port", "0", "--require", "gvisor, own_uid,network,gvisor"], environment)
    assert settings.pool.limits.memory_mib == 512
    assert settings.port == 0
    assert settings.require == ("gvisor", "own-uid", "network")


def test_every_number_reaches_its_setting(key: str) -> None:
    numbers = [min(int(option.least) + 1 + number, int(option.most)) for number, option in enumerate(OPTIONS)]
    told = [part for option, number in zip(OPTIONS, numbers, strict=True) for part in (f"--{option.name}", str(number))]
    settings = server_settings(["--key-file", key, *told], {})
    pool, http = settings.pool, settings.http
    found = [
        settings.port,
        pool.limits.seconds,
        pool.limits.memory_mib,
        pool.limits.output_chars,
        pool.sessions,
        pool.live,
        pool.environments,
    ]
    found += [
        pool.zygote_mib,
        pool.log_mib,
        pool.session_log_mib,
        pool.parallel,
        pool.queue,
        pool.session_queue,
        settings.variants,
        pool.lease_seconds,
    ]
    found += [http.connections, http.body >> 20, http.idle_seconds, settings.drain_seconds]
    assert found == numbers


@pytest.mark.parametrize(
    ("arguments", "where", "word"),
    [
        ([], "key-file", "not set"),
        (["--key-file", "/nowhere/key"], "key-file", "cannot be read"),
        (["--key-file", "/"], "key-file", "cannot be read"),
        (["--key-file", "KEY", "--port", "http"], "port", "not a number"),
        (["--key-file", "KEY", "--port", "65536"], "port", "out of range"),
        (["--key-file", "KEY", "--port", "1.5"], "port", "whole number"),
        (["--key-file", "KEY", "--seconds", "nan"], "seconds", "out of range"),
        (["--key-file", "KEY", "--variants", "3"], "variants", "out of range"),
        (["--key-file", "KEY", "--require", "gvisor,moat"], "require", "moat"),
        (["--key-file", "KEY", "--walls", "off"], "arguments", "--walls"),
        (["serve"], "arguments", "serve"),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(key: str, arguments: list[str], where: str, word: str) -> None:
    with pytest.raises(BadInput) as error:
        server_settings([key if part == "KEY" else part for part in arguments], {})
    assert error.value.where == where
    assert word in error.value.message
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"0123456789 0123456789", "schlüssel-der-lang-genug-ist".encode(), b"0" * 20 + b"\x00"]
)
def test_a_key_that_is_none_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        server_settings(["--key-file", str(path)], {})
    assert error.value.where == "key-file"
    assert "schl" not in str(error.value)


def test_every_wall_can_be_required() -> None:
    assert {name.replace("_", "-") for name in Walls._fields} <= set(known_requirements())
    assert {"gvisor", "own-uid", "read-only-root", "no-service-account-token"} <= set(known_requirements())
