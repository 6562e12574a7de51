"""Seccomp filters, made here and installed by ctypes: no library, no root.

Two are stacked: the zygotes' filter, which keeps what forking needs, and a session's, which forbids the rest. Refused
calls answer EPERM, so that a library falls back instead of dying; clone3 and openat2, whose flags are behind a pointer,
answer ENOSYS, because libraries then use the older call, whose flags a filter can read. Another architecture's calls, and
the x32 form, are refused.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from errno import ENOSYS, EPERM

from astra_jobs.sandbox.inside.syscalls import ARGUMENTS, CATEGORIES, NEWEST, numbers

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_NEW_NAMESPACE = 0x7E020000 | 0x80
_THREAD = 0x00010000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_OWNER = (8, 10, 15)
"""fcntl's F_SETOWN, F_SETSIG, F_SETOWN_EX: they make the kernel send signals."""
_HARMLESS = (0, 1, 2, 3, 1030)
"""fcntl's F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: what a process may do to its own table of descriptors. All others
change what lies behind a descriptor (locks, leases, flags, owners, sizes, seals, hints) and may be seen by whoever shares it."""
_OTHERS_CLOCK = 0x80000000
"""Sign of a clock's number: such a clock counts the CPU time of some process or thread."""
_ZYGOTE_NEEDS = {
    "network": {"sendto", "sendmsg", "recvfrom", "recvmsg", "getsockname", "getsockopt"},
    "processes": {"fork", "vfork"},
    "files_change": set(numbers("files_change", 0)) | set(numbers("files_change", 1)),
}
_ZYGOTE_KEEPS = frozenset({"signals", "files_open", "privileges", "memory", "cpu"})
_PR_GET_DUMPABLE = 3
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2

LIBC = ctypes.CDLL(None, use_errno=True)


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, yes: int, no: int) -> bytes:
    return struct.pack("=HBBI", kind, yes, no, value)


def _give(value: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, value)


class _Program:
    """A filter in the making: rules for single calls, then allow."""

    def __init__(self, column: int, audit: int) -> None:
        refuse = _give(_ERRNO | EPERM)
        self.column = column
        self.refuse = refuse
        self.code = [_load(_ARCHITECTURE), _jump(_EQUAL, audit, 1, 0), refuse, _load(_NUMBER)]
        self.code += [_jump(_GREATER, 0x3FFFFFFF, 0, 1), refuse, _jump(_GREATER, NEWEST, 0, 1), _give(_ERRNO | ENOSYS)]

    def forbid(self, forbidden: set[int]) -> None:
        """Refuse calls whatever their arguments are; neighbours in one step, because a filter's length costs at each fork."""
        for first in sorted(number for number in forbidden if number - 1 not in forbidden):
            last = first
            while last + 1 in forbidden:
                last += 1
            if first == last:
                self.code += [_jump(_EQUAL, first, 0, 1), self.refuse]
            else:
                self.code += [_jump(_AT_LEAST, first, 0, 2), _jump(_GREATER, last, 1, 0), self.refuse]

    def judge(self, name: str, rules: list[bytes]) -> None:
        """Refuse a call by rules on its arguments, and let it pass where none of them refuses."""
        number = ARGUMENTS[name][self.column]
        if number is not None and rules:
            self.code += [_jump(_EQUAL, number, 0, len(rules) + 1), *rules, _give(_ALLOW)]

    def unknown(self, name: str) -> None:
        """Answer a call as a kernel does that does not have it, so that libraries use an older one."""
        number = ARGUMENTS[name][self.column]
        if number is not None:
            self.code += [_jump(_EQUAL, number, 0, 1), _give(_ERRNO | ENOSYS)]

    def bits(self, argument: int, mask: int) -> list[bytes]:
        """Refuse where an argument has one of these bits."""
        return [_load(_FIRST_ARGUMENT + 8 * argument), _jump(_ANY_BIT, mask, 0, 1), self.refuse]

    def without(self, argument: int, mask: int) -> list[bytes]:
        """Refuse where an argument has none of these bits."""
        return [_load(_FIRST_ARGUMENT + 8 * argument), _jump(_ANY_BIT, mask, 1, 0), self.refuse]

    def equal(self, argument: int, value: int) -> list[bytes]:
        """Refuse where an argument's low half is a value."""
        return [_load(_FIRST_ARGUMENT + 8 * argument), _jump(_EQUAL, value, 0, 1), self.refuse]

    def other(self, argument: int, value: int) -> list[bytes]:
        """Refuse where an argument's low half is anything but a value."""
        return [_load(_FIRST_ARGUMENT + 8 * argument), _jump(_EQUAL, value, 1, 0), self.refuse]

    def others(self, argument: int, values: tuple[int, ...]) -> list[bytes]:
        """Refuse where an argument's low half is none of some values."""
        jumps = [_jump(_EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
        return [_load(_FIRST_ARGUMENT + 8 * argument), *jumps, self.refuse]

    def not_null(self, argument: int) -> list[bytes]:
        """Refuse where an argument is not null."""
        return [*self.bits(argument, 0xFFFFFFFF), _load(_FIRST_ARGUMENT + 4 + 8 * argument), _jump(_ANY_BIT, 0xFFFFFFFF, 0, 1), self.refuse]


def program(walls: Mapping[str, bool], *, zygote: bool) -> bytes:
    """Return the filter for walls as the kernel takes it; OSError on other machines than the table knows."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(ENOSYS, f"no system call table for {machine}; x86_64 and aarch64 have one")
    made = _Program(*_ARCHITECTURES[machine])
    forbidden = set()
    for wall in CATEGORIES:
        if walls[wall] and not (zygote and wall in _ZYGOTE_KEEPS):
            needed = _ZYGOTE_NEEDS.get(wall, set()) if zygote else set()
            forbidden |= {number for name, number in numbers(wall, made.column).items() if name not in needed}
    made.forbid(forbidden)
    if walls["processes"] or walls["threads"] or walls["namespaces"]:
        made.unknown("clone3")
    _clone(made, walls, zygote)
    if not zygote:
        _narrow(made, walls)
    return b"".join([*made.code, _give(_ALLOW)])


def _clone(made: _Program, walls: Mapping[str, bool], zygote: bool) -> None:
    rules = made.bits(0, _NEW_NAMESPACE) if walls["namespaces"] else []
    if walls["threads"]:
        rules += made.bits(0, _THREAD)
    if walls["processes"] and not zygote:
        rules += made.without(0, _THREAD)
    made.judge("clone", rules)


def _narrow(made: _Program, walls: Mapping[str, bool]) -> None:
    if walls["privileges"]:
        made.judge("prlimit64", made.not_null(2))
        made.judge("prctl", made.other(0, _PR_GET_DUMPABLE))
    if walls["tracing"]:
        made.judge("clock_gettime", made.bits(0, _OTHERS_CLOCK))
    if walls["descriptors"]:
        made.judge("fcntl", made.others(1, _HARMLESS))
    elif walls["signals"]:
        made.judge("fcntl", [rule for command in _OWNER for rule in made.equal(1, command)])
    if walls["files_change"] and not walls["files_open"]:
        made.judge("openat", made.bits(2, _WRITING))
        made.judge("open", made.bits(1, _WRITING))
        made.judge("open_by_handle_at", made.bits(2, _WRITING))
        made.unknown("openat2")


class Filter:
    """A program laid out as the kernel takes it; made before forks, so that a child only has to hand it over."""

    def __init__(self, code: bytes) -> None:
        self._program = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("@HP", len(code) // 8, ctypes.addressof(self._program))
        self._header = ctypes.create_string_buffer(header, len(header))

    def install(self) -> None:
        """Put it on this process for good, and take the way to new privileges; OSError where the system refuses."""
        if LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        if LIBC.prctl(_PR_SET_SECCOMP, _FILTER, self._header, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")
