"""Two real processes over gloo train as one: equal losses, gradient norms and weights, for batches that do not divide."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import patience

WORKER = Path(__file__).with_name("two_ranks.py")


def test_two_processes_equal_one() -> None:
    specification = importlib.util.spec_from_file_location("two_ranks", WORKER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(WORKER.parents[3]),
    }  # fmt: skip
    alone = module.numbers(0, 1)
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), "2"], env=environment, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    found = [json.loads(rank.communicate(timeout=patience())[0].splitlines()[-1]) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    for name in ("loss", "promptLoss", "norm"):
        assert found[0][name] == found[1][name]
        assert found[0][name] == pytest.approx(alone[name], rel=2e-4)
    assert found[0]["checksum"] == found[1]["checksum"] == pytest.approx(alone["checksum"], rel=1e-4)
    assert [rank["stopping"] for rank in found] == [[False, False, False, True, False]] * 2
    assert [rank["told"] for rank in found] == [[[0, 1], "from 0"]] * 2
    assert alone["told"] == [[0], "from 0"]
