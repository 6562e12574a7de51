"""The wire between supervisor, zygotes and sessions.

A control socket carries fixed frames (operation, number, value, user id), descriptors travelling beside the frame that
needs them. A session's socket carries requests (length, number, then JSON of [tool, arguments]) and replies (length,
number, outcome code, CPU microseconds, then text). Sessions are untrusted: the supervisor checks all, and a session has no
way to say that a call of it was never run; whether a deadline has passed is the supervisor's to know.
"""

import struct

CONTROL = struct.Struct("!cQqq")
REQUEST = struct.Struct("!II")
"""Length of the body, number."""
REPLY = struct.Struct("!IIBI")
"""Length of the text in bytes, number, outcome code, CPU microseconds since the reply before it."""

SPAWN, KILL, ORPHAN = b"S", b"K", b"O"
"""To a zygote: fork on the descriptors that come along; kill by number; kill an adopted process by id (value)."""
HELLO, STARTED, EXITED, FAILED = b"H", b"P", b"X", b"F"
"""From a zygote: ready (value: bytes of memory); forked (value: pid); reaped (value: wait status); no filter (value: errno)."""

CODES = ("ok", "tool_error", "limit_memory", "limit_output")
OK, TOOL_ERROR, LIMIT_MEMORY, LIMIT_OUTPUT = range(4)
