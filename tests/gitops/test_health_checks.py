"""What Argo CD and Flux say of runs in every state, and what Argo CD's actions make of them, by real interpreters on recorded runs."""

import copy
import shutil
import subprocess
from typing import Any

import pytest
import yaml  # kubernetes brings it

from astra_jobs.api.artifact import KINDS
from astra_jobs.api.v1alpha1 import MODELS
from tests.cluster.plane import tools
from tests.gitops import argo, flux, recorded
from tests.patience import patience

Object = dict[str, Any]
RUNS = recorded.runs()
ACTIONS = argo.settings()


def verdict(state: str) -> tuple[str, str]:
    return recorded.VERDICTS[state.rpartition(" ")[0]]


def of_kind(run: Object, kind: str) -> Object:
    return copy.deepcopy(run) | {"kind": kind}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", RUNS)
def test_argo_cd_tells_every_state(state: str, kind: str) -> None:
    word, message = argo.health(of_kind(RUNS[state], kind), ACTIONS)
    assert word == verdict(state)[0]
    assert message, "a person sees why"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", RUNS)
def test_flux_tells_every_state(state: str, kind: str) -> None:
    assert flux.health(of_kind(RUNS[state], kind), flux.expressions(kind)) == verdict(state)[1]


def test_messages_say_why() -> None:
    def told(state: str) -> str:
        return argo.health(RUNS[state], ACTIONS)[1]

    assert told("failed ToolCorpus").startswith("ToolServerUnavailable: ")
    assert told("waiting for input RLRun").startswith("WaitingForInput: ")
    assert "astra-jobs:newer" in told("succeeded and outdated ToolCorpus")
    assert "newer" not in told("succeeded ToolCorpus")


def test_the_old_word_is_not_taken_for_the_new_spec() -> None:
    """The recorded runs do say Succeeded and Stalled: only the generation tells that this is of an older spec."""
    for state, kind, word in (("succeeded and changed", "Succeeded", "Healthy"), ("failed and changed", "Stalled", "Degraded")):
        run = copy.deepcopy(RUNS[f"{state} ToolCorpus"])
        assert [item["status"] for item in run["status"]["conditions"] if item["type"] == kind] == ["True"]
        assert argo.health(run, ACTIONS)[0] == "Progressing"
        run["metadata"]["generation"] = run["status"]["observedGeneration"]
        assert argo.health(run, ACTIONS)[0] == word
        assert flux.health(run, flux.expressions("ToolCorpus")) != "InProgress"


def test_a_status_that_has_only_begun_is_progress() -> None:
    for status in ({}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}):
        run = copy.deepcopy(RUNS["succeeded ToolCorpus"])
        run["metadata"]["generation"] = 1
        run["status"] = status
        assert argo.health(run, ACTIONS)[0] == "Progressing"
        assert flux.health(run, flux.expressions("ToolCorpus")) == "InProgress"


def test_a_run_without_status_makes_flux_wait_as_its_page_says() -> None:
    with pytest.raises(flux.CannotTell):
        flux.truth(flux.expressions("RLRun")["current"], RUNS["not seen RLRun"])


@pytest.mark.parametrize("state", RUNS)
def test_actions_change_one_field_and_leave_a_valid_run(state: str) -> None:
    run = RUNS[state]
    suspended = run["spec"].get("suspend", False)
    assert argo.offered(run, ACTIONS) == {"rerun", "resume" if suspended else "suspend"}
    for action, field in (("rerun", "rerun"), ("suspend", "suspend"), ("resume", "suspend")):
        before = copy.deepcopy(run)
        after = argo.act(run, action, ACTIONS)
        assert run == before
        changed = {key for key in after["spec"].keys() | run["spec"].keys() if after["spec"].get(key) != run["spec"].get(key)}
        assert changed <= {field}
        assert {key: value for key, value in after.items() if key != "spec"} == {key: value for key, value in run.items() if key != "spec"}
        MODELS[run["kind"]].model_validate(after)
        assert set(argo.merge_patch(run, after)) <= {"spec"}
    assert argo.act(run, "suspend", ACTIONS)["spec"]["suspend"] is True
    assert argo.act(run, "resume", ACTIONS)["spec"]["suspend"] is False


def test_a_second_rerun_in_the_same_second_is_new_too() -> None:
    run = RUNS["succeeded ToolCorpus"]
    values = [run["spec"].get("rerun")]
    for _ in range(3):
        run = argo.act(run, "rerun", ACTIONS)
        values.append(run["spec"]["rerun"])
        assert values[-1] != values[-2]


def test_scripts_have_only_what_argo_cd_opens() -> None:
    """A script that uses another library fails here as it would there."""
    run = RUNS["succeeded ToolCorpus"]
    for script in ('return string.lower("X")', 'return ("X"):lower()', 'return os.date("%Y")', "return io.open"):
        with pytest.raises(argo.lua51.LuaError, match="attempt to index"):
            argo.health(run, {"resource.customizations.health.astra.dev_ToolCorpus": script})


def test_every_kind_has_all_of_it_and_no_other_key_is_touched() -> None:
    kinds = {f"resource.customizations.{part}.astra.dev_{kind}" for part in ("health", "actions") for kind in KINDS}
    assert set(ACTIONS) == kinds
    assert len({ACTIONS[key] for key in kinds}) == 2, "one health check, one set of actions"
    assert [flux.expressions(kind) for kind in KINDS[1:]] == [flux.expressions(KINDS[0])] * (len(KINDS) - 1)


@pytest.mark.parametrize("folder", [argo.SETTINGS.parent, flux.FOLDER], ids=lambda folder: folder.name)
def test_kustomize_reads_the_folders_as_we_do(folder: Any, tmp_path: Any) -> None:
    shutil.copytree(folder, tmp_path / "here")
    done = subprocess.run([tools.program("kubectl"), "kustomize", tmp_path / "here"], capture_output=True, text=True, timeout=patience())
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    written = [document for name in names for document in yaml.safe_load_all((folder / name).read_text())]
    key = lambda item: (item["kind"], item["metadata"]["name"])  # noqa: E731
    assert sorted(built, key=key) == sorted(written, key=key)


def test_only_what_is_up_in_minutes_is_waited_for() -> None:
    """The split: a run that takes days, or is suspended, makes no Kustomization fail that others depend on."""
    found = {
        item["metadata"]["name"]: item["spec"]
        for name in ("platform.yaml", "runs.yaml")
        for item in yaml.safe_load_all((flux.FOLDER / name).read_text())
    }
    assert {name for name, spec in found.items() if spec.get("wait")} == {"astra-crds", "astra-operator", "astra-teams"}
    assert found["astra-runs"]["wait"] is False
    assert not found["astra-runs"].get("healthChecks")
    assert not found["astra-runs"]["force"]
    needed = {dependency["name"] for spec in found.values() for dependency in spec.get("dependsOn", [])}
    assert "astra-released" not in needed, "nothing waits for what waits for runs"


def test_nothing_deletes_a_run_to_make_it_anew() -> None:
    application = yaml.safe_load((argo.SETTINGS.parent / "application.yaml").read_text())
    options = application["spec"]["syncPolicy"]["syncOptions"]
    assert "ServerSideApply=true" in options
    assert not [option for option in options if option.startswith(("Replace", "Force"))]
    assert "ignoreDifferences" not in application["spec"], "Git would lose its say on a field"
