"""Questions about data: a short Job in the team's namespace reads the store, because the command line has no way to it.

The Job is what every job pod is, with the team's image and store Secret; its answer comes back through its pod's log, packed
and with a digest. It is removed as soon as it was read, and by the cluster when this program is killed before.
"""

import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from astra_cli.kubectl_api import PROGRAM, Failed, Server
from astra_jobs.api.base import GROUP
from astra_jobs.api.errors import EXIT_BAD_INPUT
from astra_jobs.api.frame import unframed
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.v1alpha1.pod import Pod, Resources
from astra_operator.clusters.base import Object
from astra_operator.desired.launchers import job
from astra_operator.desired.naming import LABEL_MANAGED
from astra_operator.desired.pod import PodNeeds
from astra_operator.desired.security import user_of
from astra_operator.pods import PodFact, read_pod
from astra_operator.settings import TeamSettings

KEPT_SECONDS, LONGEST_SECONDS = 300, 600
POLL_SECONDS, PATIENCE_SECONDS, READ_TRIES = 0.3, 10.0, 10
_CONTAINER, _RESOURCES = PodNeeds.container, Resources(cpu="250m", memory="1Gi")


@dataclass(frozen=True)
class Question:
    """What is asked: the words after ``astra-job inspect``, the files that they name under ``in/``, and where the store is.

    ``pod`` is how the pods of the run in question are made: the store may be on a volume that they mount.
    """

    words: Sequence[str]
    store: StoreSettings
    pod: Pod
    files: Mapping[str, str] = field(default_factory=dict)


def inspect_objects(question: Question, team: TeamSettings, name: str) -> tuple[Object, Object]:
    """Return the ConfigMap and the Job that answer a question."""
    labels = {LABEL_MANAGED: PROGRAM, f"{GROUP}/inspect": question.words[0]}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": dict(question.files)}
    pod = question.pod.model_copy(update={"resources": _RESOURCES, "image": None})
    needs = PodNeeds(name, team.image, labels, pod=pod, store_secret=team.store_secret, user=user_of(team.pod_user), group=team.pod_group)
    built = job(name, needs)
    built["spec"] |= {"ttlSecondsAfterFinished": KEPT_SECONDS, "activeDeadlineSeconds": LONGEST_SECONDS}
    store = ["--store", question.store.url, *(["--endpoint", question.store.endpoint] if question.store.endpoint else [])]
    container = built["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["astra-job", "inspect", *question.words, *store, "--framed"]
    return config, built


def answer(server: Server, namespace: str, team: TeamSettings, question: Question) -> bytes:
    """Ask, wait and return the answer; raises ``Failed`` with the job's own words."""
    config, built = inspect_objects(question, team, f"astra-{question.words[0]}-{secrets.token_hex(4)}")
    made = [server.create(config, namespace)]
    try:
        made.insert(0, server.create(built, namespace))
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": made[0]["metadata"]["name"], "uid": made[0]["metadata"]["uid"]}
        server.merge({**made[1], "kind": "ConfigMap"}, {"metadata": {"ownerReferences": [owner]}})
        return _read(server, namespace, _ended(server, namespace, made[0]["metadata"]["name"]))
    finally:
        for item in made:
            server.delete(item)


def _ended(server: Server, namespace: str, name: str) -> PodFact:
    """Wait for the Job's pod to end."""
    begun, told = time.monotonic(), ""
    while True:
        pod = next((read_pod(item) for item in server.pods(namespace, f"batch.kubernetes.io/job-name={name}")), None)
        if pod is not None and not pod.alive:
            return pod
        waiting = (pod.waiting or f"pod {pod.name} is {pod.phase}") if pod else f"Job {name} has no pod yet"
        waited = time.monotonic() - begun
        if waited > LONGEST_SECONDS:
            raise Failed(f"the store could not be read in {LONGEST_SECONDS} s: {waiting}")
        if waited > PATIENCE_SECONDS and waiting != told:
            told = waiting
            print(f"waiting for a Job that reads the store: {waiting}", file=sys.stderr)
        time.sleep(POLL_SECONDS)


def _read(server: Server, namespace: str, pod: PodFact) -> bytes:
    if pod.phase == "Failed":
        lines = server.log(namespace, pod.name, container=_CONTAINER, tailLines="5").decode(errors="replace").strip().splitlines()
        words = lines[-1] if lines else pod.message or f"pod {pod.name} left no word"
        raise Failed(words.removeprefix("astra-job: "), EXIT_BAD_INPUT if pod.exit_code == EXIT_BAD_INPUT else 1)
    problem = ""
    for _ in range(READ_TRIES):  # the last lines may reach the log after the end is known
        try:
            return unframed(server.log(namespace, pod.name, container=_CONTAINER).decode(errors="replace"))
        except ValueError as error:
            problem = str(error)
        time.sleep(POLL_SECONDS)
    raise Failed(f"the answer of pod {pod.name} did not come through whole: {problem}")
