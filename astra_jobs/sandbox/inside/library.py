"""Modules that an environment's tools ask for, loaded by its zygote: a session opens no files and finds nothing new.

What the sources import, and the codecs that they name, is found in the compiled code. Only modules of ``WANTED`` are
loaded this way, from the standard library alone. Time zones are those of the package ``tzdata``, so that they do not
depend on the machine.
"""

import contextlib
import importlib
import io
import opcode
import os
import sys
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from astra_jobs.sandbox.inside import waits
from astra_jobs.sandbox.inside.clock import Clock
from astra_jobs.sandbox.inside.modules import ALONG, WANTED

_IMPORT, _FROM, _EXTENDED = opcode.opmap["IMPORT_NAME"], opcode.opmap["IMPORT_FROM"], opcode.EXTENDED_ARG
_COROUTINE = 0x80 | 0x200
_CODEC = 24
"""Longest name of a codec."""


class Library:
    """What can still be loaded once the base zygote has closed the way to all else."""

    def __init__(self, zones: str, clock: Clock) -> None:
        """Keep the way to the standard library, and close it. ``zones`` is the folder of time zones."""
        self._zones = zones
        self._clock = clock
        self._path = [one for one in sys.path if os.path.isfile(os.path.join(one, "abc.py")) or one.endswith("lib-dynload")]
        self._finders = list(sys.meta_path)
        codecs = os.path.join(self._path[0] if self._path else "", "encodings")
        self._codecs = {name.removesuffix(".py") for name in os.listdir(codecs)} if os.path.isdir(codecs) else set()
        self.close()

    def close(self) -> None:
        """Let nothing be found."""
        sys.path[:] = []
        sys.meta_path[:] = [finder for finder in sys.meta_path if "PathFinder" not in repr(finder)]

    def load(self, codes: Iterable[CodeType]) -> None:
        """Load what the code of an environment's tools asks for."""
        wanted = [name for name in _asked(codes, self._codecs) if name not in sys.modules]
        if not wanted:
            return
        sys.path[:], sys.meta_path[:] = self._path, self._finders
        sys.modules["ssl"] = None  # type: ignore[assignment] # asyncio does without it; sessions have no network
        self._clock.start()
        try:
            for name in wanted:
                with contextlib.suppress(ImportError):  # this Python was built without it; the tool's own import says so
                    importlib.import_module(name)
        finally:
            self.close()
        if "asyncio" in sys.modules:
            waits.install_loop(self._clock)
        if "zoneinfo" in sys.modules:
            _install_zones(self._zones)


def _asked(codes: Iterable[CodeType], codecs: set[str]) -> list[str]:
    """Return the modules to load, each package with what of it is wanted."""
    names: set[str] = set()
    for code in _all(codes):
        names.update(_imports(code))
        if code.co_flags & _COROUTINE:
            names.add("asyncio")
        names.update(f"encodings.{name}" for name in _named_codecs(code.co_consts) if name in codecs)
    names.update(along for name in tuple(names) for along in ALONG.get(name, ()))
    found = [name for name in WANTED if name in names or _belongs(name, names)]
    return [*found, *sorted(name for name in names if name.startswith("encodings."))]


def _belongs(name: str, names: set[str]) -> bool:
    """Tell whether a module is part of a package that is asked for: ``import email`` may mean any of it, ``import json`` does not."""
    top = name.partition(".")[0]
    return top in WANTED and top in names


def _all(codes: Iterable[CodeType]) -> Iterator[CodeType]:
    waiting = list(codes)
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]


def _imports(code: CodeType) -> Iterator[str]:
    """Return the modules of a code's import statements, and what could be modules of the names imported from them."""
    module, extended, raw = "", 0, code.co_code
    for operation, argument in zip(raw[::2], raw[1::2], strict=True):
        argument |= extended
        extended = argument << 8 if operation == _EXTENDED else 0
        if operation == _IMPORT:
            module = code.co_names[argument]
            parts = module.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        elif operation == _FROM:
            yield f"{module}.{code.co_names[argument]}"


def _named_codecs(constants: tuple[Any, ...]) -> Iterator[str]:
    from encodings import normalize_encoding
    from encodings.aliases import aliases

    for one in constants:
        if type(one) is str and 0 < len(one) <= _CODEC and one.isascii() and not one.isspace():
            name = normalize_encoding(one).lower()
            yield aliases.get(name, name)


def _install_zones(folder: str) -> None:
    """Put the time zones of a folder behind ``zoneinfo``, which then opens no file."""
    import zoneinfo
    from zoneinfo import _common

    zones: dict[str, bytes] = {}
    with open(os.path.join(os.path.dirname(folder), "zones"), encoding="ascii") as listed:
        names = listed.read().split()
    for name in names:
        with open(os.path.join(folder, *name.split("/")), "rb") as file:
            zones[name] = file.read()

    def load_tzdata(key: str) -> io.BytesIO:
        if key not in zones:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(zones[key])

    zoneinfo.reset_tzpath(to=())
    setattr(_common, "load_tzdata", load_tzdata)  # noqa: B010
    zoneinfo.available_timezones = lambda: set(zones)
