"""The wire between supervisor, zygotes and sessions.

A control socket carries fixed frames (operation, number, value, user id), descriptors travelling beside the frame that
needs them. A session's socket carries requests (length, number, turn, deadline, then JSON of [tool, arguments]) and
replies (length, number, outcome code, CPU microseconds, then text). Sessions are untrusted: the supervisor checks all.
"""

import struct

CONTROL = struct.Struct("!cQqq")
REQUEST = struct.Struct("!IIId")
"""Length of the body, number, turn (calls of a turn are refused after one that expired), deadline or 0 (CLOCK_MONOTONIC)."""
REPLY = struct.Struct("!IIBI")
"""Length of the text in bytes, number, outcome code, CPU microseconds since the reply before it."""

SPAWN, KILL, ORPHAN = b"S", b"K", b"O"
"""To a zygote: fork on the descriptors that come along; kill by number; kill an adopted process by id (value)."""
HELLO, STARTED, EXITED, FAILED = b"H", b"P", b"X", b"F"
"""From a zygote: ready (value: bytes of memory); forked (value: pid); reaped (value: wait status); no filter (value: errno)."""

CODES = ("ok", "tool_error", "limit_memory", "limit_output", "overloaded")
OK, TOOL_ERROR, LIMIT_MEMORY, LIMIT_OUTPUT, EXPIRED = range(5)
