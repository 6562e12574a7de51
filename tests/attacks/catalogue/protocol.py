"""Lying to the supervisor on the session's own socket. The control is a supervisor that believes what it reads.

Clients that attack the server from outside are no tools; they are in ``tests/attacks/hostile.py``, and single malformed requests
in ``tests/unit/sandbox/server``.
"""

from tests.attacks.attack import attack
from tests.attacks.proofs import outcome, returned
from tests.attacks.walls import CPU, FRAMES
from tests.attacks.weapons import call_number, ctypes, own_socket, raw, reply, spin, swallow

BROKEN = "tool_error limit_time limit_output"
BELIEVED = {"proof": returned("forged"), "outcomes": BROKEN}
CONFUSED = {"proof": outcome("session_lost", "overloaded", "infra_error"), "outcomes": BROKEN}


@attack("protocol", FRAMES, proof=returned("forged"), outcomes=BROKEN + " ok", calls=2, after=("tool_error",))
def answer_twice(**a):
    """Answer a call twice."""
    reply(call_number(), 0, b'"honest"')
    reply(call_number(), 0, b'"forged"')
    raw("pause")


@attack("protocol", FRAMES, **BELIEVED)
def answer_another_call(**a):
    """Answer a call that nobody made."""
    reply(call_number() + 1000, 0, b'"forged"')
    raw("pause")


@attack("protocol", FRAMES, **CONFUSED)
def unknown_outcome(**a):
    """Answer with an outcome that there is not."""
    reply(call_number(), 200, b"forged")
    raw("pause")


@attack("protocol", FRAMES, **CONFUSED)
def claim_that_it_was_the_infrastructure(**a):
    """Say that the call was never run, so that a bad episode is not counted."""
    reply(call_number(), 4, b"forged")
    raw("pause")


@attack("protocol", FRAMES, proof=lambda event: len(event.last.text) > 100_000, outcomes=BROKEN)
def longer_than_allowed(**a):
    """Send more text than a result may have, past the session's own check."""
    reply(call_number(), 0, b'"' + b"x" * (1 << 20) + b'"')
    raw("pause")


@attack("protocol", FRAMES, proof=lambda event: len(event.last.text) > 100_000, outcomes=BROKEN)
def longer_error_than_allowed(**a):
    """Send more text than a message may have, past the session's own check."""
    reply(call_number(), 1, b"x" * (1 << 20))
    raw("pause")


@attack("protocol", FRAMES, **CONFUSED)
def length_that_is_never_sent(**a):
    """Announce four gigabytes and send none of them."""
    reply(call_number(), 0, b"x", length=2**32 - 1)
    raw("pause")


@attack("protocol", FRAMES, **CONFUSED)
def half_a_frame(**a):
    """Send half a header and wait."""
    import os

    os.write(own_socket(), b"\0\0\0")
    raw("pause")


@attack("protocol", FRAMES, **CONFUSED)
def half_a_frame_and_gone(**a):
    """Send half a header and end."""
    import os

    os.write(own_socket(), b"\0\0\0\x05\0")
    os._exit(0)


@attack("protocol", FRAMES, **CONFUSED)
def endless_noise(**a):
    """Write as much as the supervisor takes."""
    import os

    noise, left = b"\xff" * 65536, 160
    while left:
        left -= 1
        os.write(own_socket(), noise)
    raw("pause")


@attack(
    "protocol", FRAMES, proof=lambda event: event.last.outcome == "ok" and event.last.cpu_seconds > 600, outcomes="ok tool_error limit_time"
)
def forged_time(**a):
    """Claim an hour of CPU time, for the books."""
    swallow()
    reply(call_number(), 0, b'"honest"', cpu=2**32 - 1)


@attack("protocol", FRAMES, proof=lambda event: event.last.text == "NaN", outcomes="ok tool_error limit_time")
def forged_number(**a):
    """Send what is no JSON but what Python reads: a number that is not itself, and stops whoever writes it down."""
    swallow()
    reply(call_number(), 0, b"NaN")


@attack("protocol", FRAMES, proof=lambda event: any("\ud800" <= letter <= "\udfff" for letter in event.last.text), outcomes="ok " + BROKEN)
def forged_letters(**a):
    """Send bytes that are no text."""
    reply(call_number(), 0, b'"\xff\xfe"')
    raw("pause")


@attack("protocol", FRAMES, proof=lambda event: event.lives, outcomes="tool_error", linger=1.0)
def hang_up_and_live_on(**a):
    """Close the socket and go on."""
    import os

    os.close(own_socket())
    for _ in range(200):
        moment = (ctypes().c_long * 2)(0, 10_000_000)
        raw("nanosleep", moment, None)


@attack("protocol", CPU, proof=lambda event: event.burnt > 8 * 0.2, outcomes="ok limit_time tool_error", linger=5.0, after=("limit_time",))
def answer_and_burn_on(**a):
    """Answer well, then use the machine for something else."""
    kind = ctypes()
    raw("setitimer", 2, (kind.c_long * 4)(), None)
    swallow()
    reply(call_number(), 0, b'"honest"')
    spin(9 * a["rounds"])


@attack("protocol", CPU, proof=lambda event: event.burnt > 8 * 0.2, outcomes="ok limit_time tool_error", linger=5.0, after=("limit_time",))
def burn_between_calls(**a):
    """Have the session's own loop work after its answer, when no limit runs."""
    import os

    write = os.write

    def answer_first(descriptor, data):
        sent = write(descriptor, data)
        spin(9 * a["rounds"])
        return sent

    os.write = answer_first
    return "honest"
