"""What the base zygote does once for all sessions leaves nothing behind that a session could see."""

import subprocess
import sys

from tests.patience import patience

CODE = """
import os, random, sys, uuid
from astra_jobs.sandbox.inside import rehearsal, session
from astra_jobs.sandbox.inside.clock import Chance, Clock
from astra_jobs.sandbox.pool.settings import Walls
settings = {"walls": dict.fromkeys(Walls._fields, True), "output": 1 << 20}
before, chance = set(vars(session)), Chance()
chance.install()
if sys.argv[1] == "rehearsed":
    rehearsal.rehearse(settings, chance, Clock(0.0))
    assert type(sys.stdout) is session.Nowhere
chance.key(sys.argv[2])
assert set(vars(session)) == before
os.write(1, repr([random.random(), random.Random().random(), os.urandom(8), uuid.uuid4(), uuid.uuid1().node]).encode())
"""


def drawn(how: str, key: str) -> bytes:
    done = subprocess.run([sys.executable, "-c", CODE, how, key], capture_output=True, timeout=patience())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_session_draws_the_same_with_and_without() -> None:
    assert drawn("rehearsed", "a") == drawn("not", "a")
    assert drawn("rehearsed", "a") != drawn("rehearsed", "b"), "control: it shows what was drawn"
