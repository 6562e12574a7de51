"""Getting what differs from run to run: real time, real chance, real order. Each is asked twice, in two sessions of one
seed; two different answers are the harm. What plain Python answers differently is the control."""

from tests.attacks.attack import attack
from tests.attacks.proofs import differs
from tests.attacks.walls import REPEATS

TELLS = {"proof": differs, "outcomes": "ok tool_error"}


@attack("determinism", REPEATS, **TELLS)
def time_of_day(**a):
    """Ask all clocks of the time module."""
    import time

    return [time.time(), time.time_ns(), time.monotonic(), time.perf_counter(), time.process_time(), time.clock_gettime(0)]


@attack("determinism", REPEATS, **TELLS)
def time_as_text(**a):
    """Ask for the time by the functions that take now when given nothing."""
    import time

    return [
        time.ctime(),
        time.asctime(),
        time.strftime("%c"),
        list(time.localtime()),
        time.time_ns() and str(time.gmtime()),
        time.clock_gettime_ns(1),
    ]


@attack("determinism", REPEATS, linger=1.1, **TELLS)
def time_as_text_alone(**a):
    """Ask for the time as text, without a moment given."""
    import time

    return [time.ctime(), time.asctime()]


@attack("determinism", REPEATS, **TELLS)
def dates(**a):
    """Ask the datetime module for now."""
    import datetime

    zone = datetime.UTC
    return [str(datetime.datetime.now()), str(datetime.datetime.now(zone)), str(datetime.datetime.utcnow()), str(datetime.date.today())]


@attack("determinism", REPEATS, **TELLS)
def dates_of_the_base_class(**a):
    """Ask the class below the one that was replaced."""
    import datetime

    return [str(kind.now()) for kind in datetime.datetime.__mro__ if hasattr(kind, "now")]


@attack("determinism", REPEATS, **TELLS)
def dates_of_the_order_of_bases(**a):
    """Ask the class below the one that was replaced, found by the question that Python itself asks."""
    import datetime

    return [str(kind.now()) for kind in datetime.datetime.mro() if hasattr(kind, "now")]


@attack("determinism", REPEATS, **TELLS)
def entropy(**a):
    """Ask the system for chance."""
    import os

    return [os.urandom(8).hex(), os.getrandom(8).hex()]


@attack("determinism", REPEATS, **TELLS)
def dice(**a):
    """Draw from the shared generator."""
    import random

    return [random.random(), random.sample(range(1000), 5), random.choice("abcdefghijklmnopqrstuvwxyz")]


@attack("determinism", REPEATS, **TELLS)
def dice_seeded_by_nothing(**a):
    """Seed generators with what the system gives."""
    import random

    random.seed()
    return [random.random(), random.Random().random(), random.SystemRandom().random()]


@attack("determinism", REPEATS, **TELLS)
def dice_of_the_base_class(**a):
    """Use the generator below the one that was replaced."""
    import _random

    return _random.Random().random()


@attack("determinism", REPEATS, **TELLS)
def identifiers(**a):
    """Make unique identifiers."""
    import uuid

    return [str(uuid.uuid4()), str(uuid.uuid1()), uuid.getnode()]


@attack("determinism", REPEATS, **TELLS)
def tokens(**a):
    """Make secrets."""
    import secrets

    return [secrets.token_hex(8), secrets.randbelow(1 << 60), secrets.choice(range(1 << 40))]


@attack("determinism", REPEATS, **TELLS)
def names_of_temporary_files(**a):
    """Ask for a name that is free."""
    import tempfile

    return [next(tempfile._get_candidate_names()) for _ in range(2)]


@attack("determinism", REPEATS, **TELLS)
def hashes(**a):
    """Ask for the order of a set."""
    return [hash("astra"), list({"one", "two", "three", "four", "five", "six"}), hash(("a", b"b"))]


@attack("determinism", REPEATS, **TELLS)
def time_used(**a):
    """Ask how much time was used."""
    import os
    import resource

    return [os.times().elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_utime]


@attack("determinism", REPEATS, **TELLS)
def own_number(**a):
    """Ask for the process number."""
    import os
    import threading

    return [os.getpid(), threading.get_native_id()]
