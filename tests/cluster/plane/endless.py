"""A session that never ends by itself, for the test that kills one. Not collected by a normal run: its name is no test file's."""

import os
import threading
from pathlib import Path


def test_waits_to_be_killed(plane):
    stray = "setsid sleep 3600 & exit 0"  # in no group of ours, and without its parent
    plane.supervisor.start("stray", ["/bin/sh", "-c", stray])
    ready = Path(os.environ["ASTRA_TEST_READY"])
    ready.with_suffix(".part").write_text(plane.server)
    ready.with_suffix(".part").rename(ready)
    threading.Event().wait(900)
