"""Carrying a word from one session to the next by what both inherit. Each is run in two sessions with one seed, the first of which
still runs: what the second finds must be what the first found.
"""

from tests.attacks.attack import attack
from tests.attacks.proofs import differs
from tests.attacks.walls import CHANGE, DESCRIPTORS, OPEN, SIGNALS
from tests.attacks.weapons import raw

CARRIED = {"proof": differs, "outcomes": "tool_error"}
NO_LOCKS = "gVisor locks files only, no devices"


@attack("channels", DESCRIPTORS, native=NO_LOCKS, **CARRIED)
def record_locks(**a):
    """Lock a byte of the null device, whose place is the word."""
    import fcntl
    import struct

    found = fcntl.fcntl(1, 5, struct.pack("hhqqi4x", 1, 0, 0, 0, 0))
    fcntl.fcntl(1, 6, struct.pack("hhqqi4x", 1, 0, 12345, 1, 0))
    return struct.unpack("hhqqi4x", found)[:4]


@attack("channels", DESCRIPTORS, native=NO_LOCKS, **CARRIED)
def locks_of_a_description(**a):
    """Lock by the descriptor that all sessions share; a lock of another kind meets it."""
    import fcntl
    import struct

    found = fcntl.fcntl(1, 5, struct.pack("hhqqi4x", 1, 0, 0, 0, 0))
    fcntl.fcntl(1, 37, struct.pack("hhqqi4x", 1, 0, 54321, 1, 0))
    return struct.unpack("hhqqi4x", found)[:4]


@attack("channels", DESCRIPTORS, **CARRIED)
def status_flags(**a):
    """Set the flags that go with the description, not with the descriptor."""
    import fcntl

    found = fcntl.fcntl(0, 3)
    fcntl.fcntl(0, 4, found | 0o2000)
    return found


@attack("channels", DESCRIPTORS, SIGNALS, alone=(DESCRIPTORS, SIGNALS), **CARRIED)
def owner_of_a_descriptor(**a):
    """Name an owner for what all share."""
    found = raw("fcntl", 2, 9)
    raw("fcntl", 2, 8, raw("getpid"))
    return found


@attack("channels", DESCRIPTORS, SIGNALS, alone=(DESCRIPTORS, SIGNALS), native="gVisor has one signal for all descriptors", **CARRIED)
def signal_of_a_descriptor(**a):
    """Choose the signal that a descriptor would send."""
    found = raw("fcntl", 2, 11)
    raw("fcntl", 2, 10, 34 + found % 8)
    return found


@attack("channels", DESCRIPTORS, OPEN, CHANGE, alone=(DESCRIPTORS,), native=NO_LOCKS, **CARRIED)
def locks_of_a_file_that_is_opened_anew(**a):
    """Lock a byte of a device that every session can open for itself: locks belong to what is opened, not to who opened it."""
    import fcntl
    import os
    import struct

    file = os.open("/dev/zero", os.O_RDWR)
    found = fcntl.fcntl(file, 5, struct.pack("hhqqi4x", 1, 0, 0, 0, 0))
    fcntl.fcntl(file, 6, struct.pack("hhqqi4x", 1, 0, 999, 1, 0))
    return struct.unpack("hhqqi4x", found)[:4]
