"""What a node remembers of containers that ended and come back: how often, how the last one ended, when the next may start.

In files, like everything that the node must not forget. The first comes back at once; from then on each waits twice as long.
"""

import time
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object
from astra_operator.clusters.local_files import read_json, write_json

FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0


def comes_back(pod: Object) -> bool:
    """Tell if a pod's container is started again whenever it ends; ``OnFailure`` is asked for by no pod here."""
    return pod["spec"].get("restartPolicy", "Always") == "Always"


class Restarts:
    """The memory of one node, by the pods' UIDs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, uid: str) -> dict[str, Any]:
        """Return ``count``, ``last`` (how the last container ended) and ``due`` (seconds of the clock)."""
        path = self._folder / f"{uid}.json"
        return read_json(path) if path.exists() else {"count": 0, "last": {}, "due": 0.0, "mark": None}

    def note(self, uid: str, mark: int, ended: dict[str, Any]) -> None:
        """Take down an end, once; ``mark`` is another for each container."""
        known = self.of(uid)
        if known["mark"] == mark:
            return
        count = known["count"]
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (count - 1)) if count else 0.0
        write_json(
            self._folder / f"{uid}.json", {"count": count + 1, "last": {"terminated": ended}, "due": time.time() + wait, "mark": mark}
        )

    def waits(self, uid: str) -> float:
        """Return for how many seconds the next container has to wait still."""
        return max(0.0, float(self.of(uid)["due"]) - time.time())

    def forget(self, uid: str) -> None:
        """Remove what is known of a pod."""
        (self._folder / f"{uid}.json").unlink(missing_ok=True)
