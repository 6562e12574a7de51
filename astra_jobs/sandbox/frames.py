"""The wire between the client and its zygote and sessions: stdlib only, because the zygote must stay small.

Sessions speak length-prefixed JSON. The control socket speaks fixed frames (operation, session number, value), a new
session's socket travelling beside its ``SPAWN`` frame as a file descriptor.
"""

import struct

LENGTH = struct.Struct("!I")
CONTROL = struct.Struct("!cQq")

SPAWN, KILL = b"S", b"K"
"""Client to zygote: fork a session on the descriptor that comes along; end a session."""

HELLO, STARTED, EXITED = b"H", b"P", b"X"
"""Zygote to client: ready (value: address space in bytes); forked (value: pid); reaped (value: wait status)."""


def frame(body: bytes) -> bytes:
    """Prefix a body with its length."""
    return LENGTH.pack(len(body)) + body
