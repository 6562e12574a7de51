"""The whole pipeline with its tools in pools: reinforcement and evaluation in gVisor make what they make without, to the byte.

Takes some minutes, so it is part of the bench.
"""

from collections.abc import Iterator

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.pool_pods import PoolTeam, Served, needs_rooms
from tests.e2e.local.kit import TINY

pytestmark = [pytest.mark.bench, needs_rooms]
# A call of a tool that ends may need many times its CPU time in gVisor without help of the processor.
MANIFESTS = TINY.replace("  heldOut: 0.4\n", "  heldOut: 0.4\n  tool: {seconds: 20}\n").split("\n---\n")[1:]
RUNS = ("rlrun/astra", "sftrun/base", "envsynthesis/envs", "chainsynthesis/chains", "toolcorpus/tools")
STAGES = ("envs-envs-1-synthesise", "envs-envs-1-merge", "astra-rl-1-train", "astra-rl-1-evaluate")


def digests(team: PoolTeam) -> dict[str, str]:
    for manifest in MANIFESTS:
        team.apply(manifest)
    team.succeeded(*RUNS, seconds=580)
    return {name: team.run(name)["status"]["artifact"]["digest"] for name in RUNS}


@pytest.fixture
def teams(node: NodeProcess, runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PoolTeam, PoolTeam]]:
    with (
        PoolTeam(node, tmp_path_factory.mktemp("pools")) as pools,
        PoolTeam(node, tmp_path_factory.mktemp("plain"), isolation="Process") as plain,
    ):
        yield pools, plain


def test_a_model_reinforced_and_judged_with_tools_in_pools_is_the_same(teams: tuple[PoolTeam, PoolTeam], node: NodeProcess) -> None:
    pools, plain = teams
    with Served(node) as served:
        made = digests(pools)
    print({stage: served.by(f"{stage}-sandbox") for stage in STAGES})
    assert [stage for stage in STAGES if not served.by(f"{stage}-sandbox")] == []
    assert made == digests(plain)
