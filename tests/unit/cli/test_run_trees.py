"""Runs as trees: what `kubectl astra status` says of recorded lives, word by word."""

import re
from collections.abc import Mapping, Sequence

from astra_cli.tree import MOST_PODS, collapsed, drawn, headline, run_node, watched
from astra_operator.clusters.base import RunKey
from astra_operator.frozen import read_live
from astra_operator.observed import observe
from astra_operator.resolve import resolve
from astra_operator.settings import parse_team
from astra_operator.view import View
from tests.reconcile.harness import Player, bad


def view_of(player: Player, key: RunKey) -> View:
    cluster = player.cluster
    run = cluster.get_run(*key)
    assert run is not None
    return View(
        run=run,
        live=read_live(run),
        resolution=resolve(run, lambda other: cluster.get_run(*other)),
        seen=observe(cluster.children(run["metadata"]["uid"])),
        team=parse_team(cluster.team("default"), "default"),
        settings=player.settings,
        now=cluster.now(),
    )


def tree(player: Player, key: RunKey, last_lines: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the tree with digests left out."""
    lines = drawn(run_node(view_of(player, key), lambda other: player.cluster.get_run(*other), last_lines or {}))
    return re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", "\n".join(lines))


def pipeline() -> tuple[Player, dict[str, RunKey]]:
    player = Player()
    keys = {kind: player.put(kind) for kind in ("ToolCorpus", "ChainSynthesis", "EnvSynthesis", "SFTRun", "RLRun")}
    return player, keys


def training() -> tuple[Player, RunKey]:
    player, keys = pipeline()
    player.finish(until=lambda: bool(player.pods("rl-rl-1-train")))
    return player, keys["RLRun"]


def test_a_run_that_waits_shows_for_what() -> None:
    player, keys = pipeline()
    player.work()
    assert tree(player, keys["ChainSynthesis"]) == (
        "ChainSynthesis chains: Waiting (WaitingForInput), 0s old\n"
        '├─ spec.corpus.name: ToolCorpus "tools" has no artifact yet\n'
        "└─ inputs\n"
        "   └─ corpus: ToolCorpus tools: Running, no artifact yet"
    )


def test_a_pipeline_that_is_done_needs_one_line_a_run() -> None:
    player, keys = pipeline()
    player.finish()
    views = [view_of(player, key) for key in keys.values()]
    assert all(collapsed(view) for view in views)
    assert [re.sub(r"[0-9a-f]{12}", "DIGEST", headline(view)) for view in views] == [
        f"{kind} {key.name}: Succeeded, artifact DIGEST, 0s old" for kind, key in keys.items()
    ]
    assert tree(player, keys["SFTRun"]) == (
        "SFTRun sft: Succeeded, artifact DIGEST, 0s old\n"
        "├─ inputs\n"
        "│  ├─ data[0]: ChainSynthesis chains: Succeeded, artifact DIGEST\n"
        "│  └─ evaluation.environments[0]: EnvSynthesis envs: Succeeded, artifact DIGEST\n"
        "└─ attempt 1, DIGEST, began 0s ago\n"
        "   ├─ stage prepare: done, artifact DIGEST\n"
        "   ├─ stage train: done, artifact DIGEST\n"
        "   └─ stage evaluate: done, artifact DIGEST"
    )


def test_a_training_shows_its_ranks_and_their_last_lines() -> None:
    player, key = training()
    for pod in player.pods("rl-rl-1-train"):
        player.cluster.start(pod)
    player.work()
    player.cluster.advance(150)
    assert watched(view_of(player, key)) == ["rl-rl-1-train-0-master-0", "rl-rl-1-train-0-worker-0"]
    text = tree(player, key, {"rl-rl-1-train-0-master-0": ["12:00:01 3/10 loss=0.5", "12:00:06 4/10 loss=0.4"]})
    assert text.split("└─ attempt ")[1] == (
        "1, DIGEST, began 2m30s ago\n"
        "   ├─ stage prepare: done, artifact DIGEST\n"
        "   └─ stage train\n"
        "      └─ rl-rl-1-train-0 (PyTorchJob): running for 2m30s\n"
        "         ├─ rl-rl-1-train-0-master-0 rank 0: Running, for 2m30s\n"
        "         │     | 12:00:01 3/10 loss=0.5\n"
        "         │     | 12:00:06 4/10 loss=0.4\n"
        "         └─ rl-rl-1-train-0-worker-0 rank 1: Running, for 2m30s"
    )


def test_restarts_show_their_causes_and_a_waiting_pod_its_reason() -> None:
    player, key = training()
    first = player.pods("rl-rl-1-train-0")
    for pod in first:
        player.cluster.start(pod)
    player.work()
    player.cluster.advance(100)
    player.cluster.finish(first[1], bad("StoreUnavailable", "s3://b did not answer", 75, where="store.url"), 75)
    player.work()
    player.cluster.advance(60)
    player.work()
    second = player.pods("rl-rl-1-train-1")
    player.cluster.lose(second[0], "NodeLost")
    player.work()
    player.cluster.advance(400)
    player.work()
    pending = player.pods("rl-rl-1-train-2")[1]
    stored = player.cluster.objects["Pod", "default", pending["metadata"]["name"]]
    stored["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are free"}
    ]
    player.cluster.advance(6)
    player.work()
    text = tree(player, key)
    assert text.splitlines()[1] == "├─ pod rl-rl-1-train-2-worker-0: 0/3 nodes are free"
    assert "1 of 3 restarts used" in text
    assert text.split("stage train\n")[1] == (
        "      ├─ rl-rl-1-train-0: ended after 100s, Failed: store.url: s3://b did not answer\n"
        "      ├─ rl-rl-1-train-1: ended after 0s, Lost (not counted): pod rl-rl-1-train-1-master-0 was lost or evicted\n"
        "      └─ rl-rl-1-train-2 (PyTorchJob): waiting\n"
        "         ├─ rl-rl-1-train-2-master-0 rank 0: Pending\n"
        "         └─ rl-rl-1-train-2-worker-0 rank 1: Pending, WaitingForCapacity: 0/3 nodes are free"
    )


def test_of_many_shards_those_in_trouble_are_shown() -> None:
    player = Player()
    key = player.put("EnvSynthesis", shards=40)
    player.work()
    pods = sorted(player.pods("synthesise"), key=player.shard)
    for pod in pods[:20]:
        player.cluster.start(pod)
    player.cluster.finish(pods[30], None, 0)
    for pod in pods[:10]:
        player.succeed(pod)
    text = tree(player, key)
    assert text.count("shard ") == MOST_PODS
    assert "shard 30: Succeeded" in text, "it ended well but left no artifact"
    assert "shard 26: Pending" in text
    assert "shard 27: Pending" not in text
    assert "└─ and 12 Pending, 10 Running, 10 Succeeded\n" in text


def test_what_the_operator_has_not_seen_or_will_not_have_is_said() -> None:
    player = Player()
    key = player.put("ToolCorpus")
    player.finish()
    player.cluster.put_run({**player.cluster.runs[key], "spec": {**player.cluster.runs[key]["spec"], "rerun": "again"}})
    text = tree(player, key)
    assert text.startswith("ToolCorpus tools: Pending, the operator has not seen this spec yet")
    assert "attempt 1, DIGEST, began 0s ago, the spec asks for a new attempt" in text
    player.put("ToolCorpus", sources=[])
    player.work()
    state, problem, *_ = tree(player, key).splitlines()
    assert state.startswith("ToolCorpus tools: Failed (InvalidSpec)")
    assert "spec.sources: found []" in problem
    player.put("ToolCorpus", rerun="third")
    player.finish()
    assert "└─ earlier\n   └─ attempt 1: Succeeded, artifact DIGEST" in tree(player, key)


def test_another_input_than_the_attempts_is_pointed_out() -> None:
    player = Player()
    tools = player.put("ToolCorpus")
    chains = player.put("ChainSynthesis", onInputChange="Ignore")
    player.finish()
    assert "was opened with" not in tree(player, chains)
    player.put("ToolCorpus", rerun="again")
    player.finish()
    assert "corpus: ToolCorpus tools: Succeeded, artifact DIGEST (attempt 1 was opened with DIGEST)" in tree(player, chains)
    assert tools.name == "tools"
