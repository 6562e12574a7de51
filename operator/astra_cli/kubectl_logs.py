"""Logs of a run in a cluster: of pods that exist from the cluster, of those that are gone from the store.

Every line of a living pod bears its name; a log from the store is headed by stage, restart and number of its pod.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3

from astra_cli.kubectl_api import Failed, Server
from astra_operator.clusters.base import Object
from astra_operator.containers import JOB_CONTAINERS
from astra_operator.desired import naming
from astra_operator.observed import number_of
from astra_operator.view import View

FOLLOW_SECONDS = 1.0
_CHUNK = 16_384


@dataclass(frozen=True)
class Choice:
    """Which pods of a run are meant: of one attempt, or of every one from ``since`` on; of one stage, or of all."""

    run: Object
    since: int
    attempt: int | None
    stage: str | None

    def takes(self, pod: Object) -> bool:
        """Tell if a pod is meant."""
        number = number_of(pod, naming.LABEL_ATTEMPT)
        fits = number == self.attempt if self.attempt is not None else number >= self.since
        return fits and self.stage in (None, pod["metadata"]["labels"].get(naming.LABEL_STAGE))


def container_of(pod: Object) -> dict[str, str]:
    """Return which log of a pod is meant, as a query: that of the job's container. An API server will not choose among several."""
    names = [item["name"] for item in pod.get("spec", {}).get("containers", ())]
    return {"container": own} if (own := next((name for name in names if name in JOB_CONTAINERS), "")) else {}


def container_of_stage(view: View) -> str:
    """Return the name of the job's container in the pods of the stage that a run is at."""
    job, pytorch = JOB_CONTAINERS
    return pytorch if view.current is not None and view.current.workload == "PyTorchJob" else job


class Printer:
    """Prints the logs of living pods, each line once, whole and under its pod's name."""

    def __init__(self, server: Server, choice: Choice) -> None:
        self._server = server
        self._choice = choice
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}
        self._ended: set[str] = set()

    def pods(self) -> list[Object]:
        """Return the pods that are meant and exist."""
        metadata = self._choice.run["metadata"]
        found = self._server.pods(metadata["namespace"], f"{naming.LABEL_UID}={metadata['uid']},!{naming.LABEL_POOL}")
        return [pod for pod in found if self._choice.takes(pod)]

    def print_all(self, pods: list[Object]) -> None:
        """Print what pods have printed so far, one pod after the other."""
        for pod in pods:
            if pod["status"].get("phase") != "Pending":
                self._copy(pod, follow=False)

    def follow(self, over: Callable[[], bool]) -> None:
        """Print what pods print, as it comes, until ``over`` says that no more will come."""
        threads: dict[str, threading.Thread] = {}
        while True:
            last = over()
            pods = self.pods()
            for pod in pods:
                uid, phase = pod["metadata"]["uid"], pod["status"].get("phase")
                thread = threads.get(uid)
                if phase == "Pending" or uid in self._ended or (thread is not None and thread.is_alive()):
                    continue
                if thread is not None and phase != "Running":
                    self._ended.add(uid)  # this last look brings what came after the connection broke
                threads[uid] = threading.Thread(target=self._copy, args=(pod, phase == "Running"), daemon=True)
                threads[uid].start()
            if last:
                for thread in threads.values():
                    thread.join()
                return
            time.sleep(FOLLOW_SECONDS)

    def _copy(self, pod: Object, follow: bool) -> None:
        """Print what of a pod's log has not been printed; what breaks off is taken up again where it was."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        query = container_of(pod) | ({"follow": "true"} if follow else {})
        skip = self._read.get(name, 0)
        rest = b""
        try:
            with self._server.stream(namespace, name, None if follow else 60.0, **query) as answer:
                for chunk in answer.stream(_CHUNK):
                    fresh, skip = chunk[skip:], max(0, skip - len(chunk))
                    *lines, rest = (rest + fresh).split(b"\n")
                    self._print(name, lines)
                    self._read[name] = self._read.get(name, 0) + sum(len(line) + 1 for line in lines)
        except (Failed, urllib3.exceptions.HTTPError, OSError) as error:
            if not follow:
                print(error, file=sys.stderr)
        if rest and not follow:
            self._print(name, [rest])
            self._read[name] = self._read.get(name, 0) + len(rest)

    def _print(self, pod: str, lines: list[bytes]) -> None:
        with self._lock:
            for line in lines:
                print(f"[{pod}] {line.decode(errors='replace')}", flush=True)
