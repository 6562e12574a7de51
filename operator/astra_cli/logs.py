"""Reads the logs of a run's pods: those that exist, and those whose logs were kept when they were removed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object
from astra_operator.clusters.local_files import read_json
from astra_operator.desired import naming

FOLLOW_SECONDS = 0.5


class Reader:
    """Prints the logs of one attempt, each part once, under the name of its pod."""

    def __init__(self, state: Path, run: Object, attempt: int) -> None:
        self._state = state
        self._uid = run["metadata"]["uid"]
        self._attempt = attempt
        self._offsets: dict[str, int] = {}
        self._last = ""

    @property
    def seen(self) -> bool:
        """Tell if any log was found."""
        return bool(self._offsets)

    def _files(self) -> Iterator[tuple[str, str, Path]]:
        """Yield (creation time, pod, log) for each pod of the attempt."""
        for path in self._state.glob("objects/*/Pod.*.json"):
            if pod := self._pod(path):
                yield pod["creationTimestamp"], pod["name"], self._state / "pods" / pod["uid"] / "log"
        for path in self._state.glob("logs/*/*.json"):
            if pod := self._pod(path):
                yield pod["creationTimestamp"], pod["name"], path.with_suffix(".log")

    def _pod(self, path: Path) -> dict[str, Any] | None:
        """Return the metadata of a pod if it is of this run and attempt."""
        try:
            metadata: dict[str, Any] = read_json(path)["metadata"]
        except FileNotFoundError:
            return None  # it was removed between listing and reading; its log comes from the other place
        labels = metadata["labels"]
        mine = labels.get(naming.LABEL_UID) == self._uid and labels.get(naming.LABEL_ATTEMPT) == str(self._attempt)
        return metadata if mine else None

    def print_new(self) -> None:
        """Print what was added since the last call."""
        for _, pod, path in sorted(self._files()):
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._offsets.get(pod, 0))
                data = file.read()
            if pod not in self._offsets or data:
                if pod != self._last:
                    print(f"==> {pod} <==")
                    self._last = pod
                print(data.decode(errors="replace"), end="", flush=True)
            self._offsets[pod] = self._offsets.get(pod, 0) + len(data)
