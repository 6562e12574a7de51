"""What of a spec is identity and what is not, and that a frozen spec keeps the one and takes the other from today."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.api.artifact import KINDS, Artifact, Kind
from astra_jobs.api.base import digest_of
from astra_jobs.api.request import Input
from astra_jobs.api.v1alpha1.common import CommonSpec
from astra_operator.attempts import freeze
from astra_operator.frozen import Frozen, Live, attempt_digest, identity, overlay, read_live, spec_model, stage_digest
from astra_operator.settings import OperatorSettings, TeamSettings
from astra_operator.site import Site
from astra_operator.stages import plan
from tests.reconcile.harness import manifest

OPERATIONAL = {
    "suspend": True,
    "onInputChange": "Replace",
    "pod": {"resources": {"cpu": "9", "memory": "1Gi"}, "stages": [{"stage": "train", "resources": {}}]},
    "limits": {"maxRestarts": 9},
}
BY_KIND: dict[Kind, dict[str, object]] = {
    "ToolCorpus": {},
    "ChainSynthesis": {"shards": 7},
    "EnvSynthesis": {"shards": 7},
    "SFTRun": {"launcher": "Job", "checkpoints": {"everySteps": 3}},
    "RLRun": {"checkpoints": {"everySteps": 3}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_operational_fields_are_no_identity(kind: Kind) -> None:
    plain, dressed = read_live(manifest(kind)), read_live(manifest(kind, **OPERATIONAL, **BY_KIND[kind]))
    assert plain.spec is not None
    assert dressed.spec is not None
    assert plain.spec != dressed.spec
    assert plain.written == dressed.written
    assert attempt_digest(kind, plain.spec, []) == attempt_digest(kind, dressed.spec, [])
    changed = read_live(manifest(kind, seed=1))
    assert changed.spec is not None
    assert changed.written != plain.written
    assert attempt_digest(kind, changed.spec, []) != attempt_digest(kind, plain.spec, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_out_default_is_the_same_wish(kind: Kind) -> None:
    short = read_live(manifest(kind))
    assert short.spec is not None
    long = read_live(manifest(kind) | {"spec": short.spec})
    assert long.spec == short.spec
    assert long.written != short.written


def test_training_is_found_again_when_only_the_evaluation_changes() -> None:
    frozen = [_frozen(episodes, digest) for episodes, digest in ((400, "a"), (50, "a"), (400, "b"))]
    assert len({item.digest for item in frozen}) == 3
    assert len({stage_digest(item, "evaluation") for item in frozen}) == 1
    assert [stage_digest(item, "") for item in frozen] == [item.digest for item in frozen]
    other = _frozen(400, "a", seed=1)
    assert stage_digest(other, "evaluation") != stage_digest(frozen[0], "evaluation")
    assert [stage.unread for stage in plan("SFTRun", other.spec)] == ["", "evaluation", ""]


def _frozen(episodes: int, held_out: str, **fields: object) -> Frozen:
    spec = read_live(manifest("SFTRun", evaluation={"environments": [{"name": "envs"}], "episodes": episodes}, **fields)).spec
    assert spec is not None
    artifacts = {"data/0": digest_of("data"), "evaluation/0": digest_of(held_out)}
    inputs = tuple(
        Input(role=role, kind="EnvSynthesis", name="n", artifact=Artifact(uri="file:///n", digest=value))
        for role, value in artifacts.items()
    )
    site = Site(TeamSettings(store_url="file:///s"), OperatorSettings(code_version="1"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    return freeze(manifest("SFTRun"), Live("w", spec, CommonSpec()), inputs, 1, site)


def test_inputs_and_rerun_are_identity() -> None:
    spec = read_live(manifest("ToolCorpus")).spec
    assert spec is not None

    def made(role: str, text: str, name: str = "n") -> Input:
        return Input(role=role, kind="ToolCorpus", name=name, artifact=Artifact(uri=f"file:///{name}", digest=digest_of(text)))

    wishes = [[], [made("corpus", "a")], [made("corpus", "b")], [made("data/0", "a")]]
    digests = [attempt_digest("ToolCorpus", spec, wish) for wish in wishes] + [attempt_digest("ToolCorpus", spec | {"rerun": "x"}, [])]
    assert len(set(digests)) == len(digests)
    assert attempt_digest("ToolCorpus", spec, [made("corpus", "a", "other")]) == digests[1], "where an input lies is not what it is"


def test_an_overlay_takes_only_what_is_operational() -> None:
    frozen = read_live(manifest("SFTRun")).spec
    live = read_live(manifest("SFTRun", **OPERATIONAL, **BY_KIND["SFTRun"], seed=5, data=[{"name": "other"}], evaluation=None)).spec
    assert frozen is not None
    assert live is not None
    model = spec_model("SFTRun")
    merged = overlay(frozen, live, model)
    assert identity(merged, model) == identity(frozen, model)
    for field in (*OPERATIONAL, *BY_KIND["SFTRun"]):
        assert merged[field] == live[field]


@pytest.mark.parametrize(("key", "shown"), [("a\nb", r"a\nb"), ("a\r", r"a\r"), ("\u2028", r"\u2028"), ("\x00", r"\u0000"), ("名", "名")])
def test_a_key_that_is_no_word_is_named_on_one_line(key: str, shown: str) -> None:
    assert read_live(manifest("ToolCorpus", pod={key: 1})).problem.startswith(f"spec.pod.{shown}: found 1: unknown field; ")


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(KINDS), st.dictionaries(st.sampled_from(["suspend", "seed", "pod", "data", "model", "training", "sources", "x"]), json)
)
def test_any_spec_can_be_told_from_another_and_none_breaks_the_reader(kind: Kind, changes: dict[str, object]) -> None:
    run = manifest(kind) | {"spec": changes}
    live = read_live(run)
    assert live.spec is None or not live.problem
    assert live.spec is not None or live.problem
    assert "\n" not in live.problem
    assert live.common.suspend is (changes.get("suspend") is True)
    assert identity(changes, spec_model(kind)) == identity(identity(changes, spec_model(kind)), spec_model(kind))
