"""The same suite with the server, its sessions and its client inside gVisor."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gvisor import NoGvisor, inside
from tests.patience import patience

SUITE = Path(__file__).with_name("test_sandbox_protocol.py")


@pytest.mark.bench
@pytest.mark.skipif(os.geteuid() != 0, reason="gVisor's runsc is run as root")
def test_every_promise_holds_in_gvisor(tmp_path: Path) -> None:
    try:
        command = inside([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)], tmp_path)
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    done = subprocess.run(command, cwd=SUITE.parents[3], capture_output=True, text=True, timeout=patience(600))
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout[-400:]
