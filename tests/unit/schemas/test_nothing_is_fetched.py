"""No part of a schema makes this process connect anywhere or open a file; with a listener and a file that would notice."""

import asyncio
import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.schemas import SchemaRefused, arguments_check, prepared, value_check

PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "dialect": lambda address: {"$schema": address, "type": "object"},
    "dialect within": lambda address: {"properties": {"a": {"$id": "x", "$schema": address}}},
    "reference": lambda address: {"properties": {"a": {"$ref": address}}},
    "dynamic reference": lambda address: {"properties": {"a": {"$dynamicRef": address}}},
    "base": lambda address: {"$id": address, "properties": {"a": {"$ref": "other.json"}}},
    "in an old dialect": lambda address: {"$schema": "http://json-schema.org/draft-04/schema#", "id": address, "allOf": [{"$ref": "y"}]},
    "vocabulary": lambda address: {"$vocabulary": {address: True}, "type": "object"},
}
ADDRESSES = ["http://127.0.0.1:{port}/x", "https://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "file://{file}", "{file}", "file:{file}"]


def both_ends(schema: dict[str, Any]) -> None:
    """Do what a server does when a tool is put, and the client before it is sent."""
    asyncio.run(checks_of([ToolCode(name="t", parameters=schema, code="")]))


@contextmanager
def listener() -> Iterator[tuple[int, Callable[[], int]]]:
    """Yield a port and what counts who connected to it; the queue holds them without anybody accepting."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.setblocking(False)

        def count() -> int:
            found = 0
            while True:
                try:
                    server.accept()[0].close()
                except BlockingIOError:
                    return found
                found += 1

        yield server.getsockname()[1], count


@contextmanager
def canary(file: Path) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether anybody opened a file, by the kernel's own word (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    assert libc.inotify_add_watch(watch, str(file).encode(), 0x20) >= 0  # IN_OPEN

    def opened() -> bool:
        try:
            return bool(os.read(watch, 4096))
        except BlockingIOError:
            return False

    yield opened
    os.close(watch)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_fetched(place: str, address: str, tmp_path: Path) -> None:
    file = tmp_path / "canary.json"
    file.write_text('{"$id": "x", "type": "boolean", "title": "canary text"}')
    with canary(file) as opened, listener() as (port, connected):
        schema = PLACES[place](address.format(port=port, file=file))
        said = []
        for judge in (prepared, arguments_check, value_check, both_ends):
            try:
                judge(schema)
            except (SchemaRefused, BadInput) as error:
                said.append(str(error))
        assert connected() == 0
        assert not opened()
    assert "canary text" not in " ".join(said)


def test_a_fetch_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "canary.json"
    file.write_text('{"type": "boolean"}')
    with canary(file) as opened, listener() as (port, connected):
        for address in (f"http://127.0.0.1:{port}/x", f"file://{file}"):
            with pytest.raises((jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, OSError)):
                jsonschema_rs.Draft202012Validator({"$ref": address}, http_options=jsonschema_rs.HttpOptions(timeout=0.2)).validate(0)
        assert connected() == 1
        assert opened()
