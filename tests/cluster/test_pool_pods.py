"""Sandbox pools whose pods really run, on a real API server under the real operator with exactly the rights that are shipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.pool_pods import ENVS, PoolTeam, Served


def test_first(node: NodeProcess, runtime: None, tmp_path: Path) -> None:
    import time
    t = time.time()
    with PoolTeam(node, tmp_path) as team, Served(node, team) as served:
        try:
            team.apply(ENVS.replace("QUESTIONS", "12"))
            team.wait("pods", lambda: len(team.ready()) == 2, 90)
            print("ready", time.time() - t)
            team.succeeded("envsynthesis/envs", seconds=200)
            print("succeeded", time.time() - t)
            team.wait("nothing", lambda: not team.left(), 90)
            print("gone", time.time() - t)
        finally:
            print(served.calls)
            print(node.log()[-3000:])
            print(team.left())
            import subprocess
            print(subprocess.run(f"grep -ih loopback {node.plane.folder}/logs/*.log | cut -c1-500 | tail -3", shell=True, capture_output=True, text=True).stdout)
            for p in node.folder.glob("pods/*/log"): print(p, p.read_text()[-1500:])
            for p in node.folder.glob("logs/*/*"): print(p, p.read_text()[-1500:])
