"""A story in which the real operator brings runs into every state that Argo CD and Flux have to tell apart; not a test itself."""

import json
from collections.abc import Callable
from typing import Any

from astra_operator.crdgen.names import NAMES
from tests.cluster.node_team import Team, condition
from tests.gitops import argo, recorded
from tests.monitoring.prometheus import Sample
from tests.reconcile.harness import SPECS

Object = dict[str, Any]
ACTIONS = argo.settings()
EVERY = ",".join(f"{names.plural}.astra.dev" for names in NAMES.values())
NOWHERE = {"ChainSynthesis": {"corpus": {"name": "nowhere"}}, "SFTRun": {"data": [{"name": "nowhere"}]}, "RLRun": {}}


class Recorder:
    """Applies runs, waits for their states and keeps each as it was then; tries every action that is offered on it."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.look: Callable[[], list[Sample]] = list
        """Scrapes the operator's metrics now."""
        self.seen: dict[str, Object] = {}
        self.refused: list[str] = []
        self.samples: list[Sample] = []

    def put(self, kind: str, name: str, **spec: Any) -> None:
        """Apply a run as Git would."""
        run = {"apiVersion": "astra.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.team.kubectl("apply", "--server-side", "--field-manager=git", "-f", "-", stdin=json.dumps(run))

    def tools(self, name: str, source: Object, **spec: Any) -> None:
        """Apply a ToolCorpus with one source."""
        self.put("ToolCorpus", name, sources=[{"name": "source", **source}], **spec)

    def until(self, state: str, name: str, kind: str, reason: str, seen: bool = True) -> Object:
        """Keep a run when a condition has a reason, with its generation seen or not."""

        def there() -> Object | None:
            run = self.team.run(name)
            current = run.get("status", {}).get("observedGeneration") == run["metadata"]["generation"]
            return run if condition(run, kind)["reason"] == reason and current == seen else None

        return self.keep(state, self.team.wait(f"{name}: {kind} {reason}", there))

    def told(self, condition: str) -> bool:
        """Tell if the operator counts runs with a condition now."""
        labels = {f'condition="{condition}"', 'status="True"'}
        return any(value > 0 and all(label in name for label in labels) for name, value, _ in self.look() if name.startswith("astra_runs{"))

    def keep(self, state: str, run: Object) -> Object:
        """Keep a run, and ask the API server if it would take what each offered action makes of it."""
        self.seen[f"{state} {run['kind']}"] = recorded.lasting(run)
        for action in sorted(argo.offered(run, ACTIONS)):
            told = self.send(run, argo.act(run, action, ACTIONS), "--dry-run=server")
            if told:
                self.refused.append(f"{state} {run['kind']}, {action}: {told}")
        return run

    def send(self, old: Object, new: Object, *how: str) -> str:
        """Change a run as an action would; return what the API server has against it."""
        where = ["-n", self.team.namespace, "patch", old["kind"].lower(), old["metadata"]["name"], "--type=merge", *how]
        done = self.team.plane.kubectl(*where, "-p", json.dumps(argo.merge_patch(old, new)), check=False)
        return "" if done.returncode == 0 else done.stderr

    def without_pods(self, name: str) -> None:
        """Wait until the pods of a run have ended, though a server keeps them waiting."""
        self.team.wait("its pods are gone", lambda: not self.team.objects("pods", "-l", f"astra.dev/run={name}"))

    def act(self, name: str, action: str) -> None:
        """Do an action."""
        run = self.team.run(name)
        assert self.send(run, argo.act(run, action, ACTIONS)) == ""


def unseen(recorder: Recorder) -> None:
    """Runs of every kind that no operator has seen."""
    recorder.tools("tools", {"procedural": {"servers": 8}})
    recorder.put("EnvSynthesis", "envs", **SPECS["EnvSynthesis"], suspend=True)
    for kind, changes in NOWHERE.items():
        recorder.put(kind, kind.lower(), **SPECS[kind] | changes)  # type: ignore[index]
    for run in recorder.team.objects(EVERY):
        recorder.keep("not seen", run)


def alive(recorder: Recorder) -> None:
    """Runs that wait, run, are suspended and go on, by the actions themselves."""
    recorder.tools("slow", {"mcp": {"command": ["sleep", "600"], "timeoutSeconds": 600}})
    recorder.tools("big", {"procedural": {"servers": 8}}, pod={"resources": {"cpu": "900"}})
    for kind in NOWHERE:
        recorder.until("waiting for input", f"{kind}/{kind.lower()}", "InputsReady", "WaitingForInput")
    recorder.until("suspended before it began", "envsynthesis/envs", "Succeeded", "Suspended")
    recorder.until("running", "toolcorpus/slow", "Reconciling", "Running")
    recorder.team.wait("the slow run has a pod", lambda: recorder.team.pods("slow"))
    recorder.act("toolcorpus/slow", "suspend")
    recorder.until("suspended midway", "toolcorpus/slow", "Succeeded", "Suspended")
    recorder.without_pods("slow")
    recorder.act("toolcorpus/slow", "resume")
    recorder.team.wait("it runs again", lambda: recorder.team.pods("slow"))
    recorder.team.kubectl("delete", "toolcorpus", "slow", "--wait=true")
    recorder.without_pods("slow")
    recorder.until("waiting for capacity", "toolcorpus/big", "Reconciling", "WaitingForCapacity")


def over(recorder: Recorder) -> None:
    """Runs that have ended, and what becomes of them when a person, Git or a newer image changes something."""
    recorder.tools("broken", {"mcp": {"command": ["/no/such/server"]}}, limits={"maxRestarts": 0})
    recorder.until("failed", "toolcorpus/broken", "Stalled", "ToolServerUnavailable")
    recorder.until("succeeded", "toolcorpus/tools", "Succeeded", "Finished")
    recorder.act("toolcorpus/tools", "suspend")
    recorder.until("succeeded and suspended", "toolcorpus/tools", "Suspended", "Suspended")
    recorder.act("toolcorpus/tools", "resume")
    recorder.until("succeeded", "toolcorpus/tools", "Suspended", "NotSuspended")
    recorder.team.kubectl("patch", "configmap", "astra-team", "--type=merge", "-p", json.dumps({"data": {"image": "astra-jobs:newer"}}))
    recorder.team.operator.stop()
    recorder.team.operator.start()
    recorder.until("succeeded and outdated", "toolcorpus/tools", "Outdated", "CodeChanged")
    recorder.team.wait("its metrics say so", lambda: recorder.told("Outdated"))
    recorder.team.operator.stop()
    recorder.act("toolcorpus/tools", "rerun")
    recorder.act("toolcorpus/broken", "rerun")
    recorder.until("succeeded and changed", "toolcorpus/tools", "Succeeded", "Finished", seen=False)
    recorder.until("failed and changed", "toolcorpus/broken", "Stalled", "ToolServerUnavailable", seen=False)


def tell(recorder: Recorder) -> None:
    """Tell the whole story; the operator is started in it, and stopped at its end."""
    unseen(recorder)
    recorder.team.operator.start()
    alive(recorder)
    over(recorder)
