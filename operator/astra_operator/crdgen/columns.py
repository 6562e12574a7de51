"""The columns of ``kubectl get astra``, once: the CRDs print them in a cluster and ``astra get`` prints them here.

``path`` is a JSONPath of the small form that both understand: ``.a.b`` and ``.list[?(@.key=="value")].field``.
"""

from dataclasses import dataclass
from typing import Any

_SUCCEEDED = '.status.conditions[?(@.type=="Succeeded")]'


@dataclass(frozen=True)
class Column:
    """One printer column; ``wide`` ones show with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    about: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the form of a CRD's additionalPrinterColumns."""
        data: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.about}
        if self.wide:
            data["priority"] = 1
        return data


COLUMNS: tuple[Column, ...] = (
    Column("Phase", ".status.phase", about="Pending, Waiting, Running, Suspended, Succeeded, Failed or Stalled"),
    Column("Reason", f"{_SUCCEEDED}.reason", about="why, in one word"),
    Column("Stage", ".status.stage", about="stage that runs"),
    Column("Progress", ".status.progress.display", about="percent of the stage"),
    Column("Attempt", ".status.attempt.number", "integer", about="number of the attempt"),
    Column("Age", ".metadata.creationTimestamp", "date", about="time since the run was created"),
    Column("Queue", ".spec.queue", wide=True, about="LocalQueue that admits the run's workloads"),
    Column("Artifact", ".status.artifact.digest", wide=True, about="digest of what the run made"),
    Column("Message", f"{_SUCCEEDED}.message", wide=True, about="why, in one sentence"),
)


def value_at(path: str, resource: dict[str, Any]) -> Any:
    """Return what a column's path points at, or None; the two forms of COLUMNS are understood."""
    found: Any = resource
    for part in path.replace("].", "]\0").split("\0"):
        head, _, test = part.partition("[?(@.")
        for key in head.strip(".").split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if test:
            key, _, wanted = test.removesuffix(")]").partition("==")
            items = found if isinstance(found, list) else []
            found = next((item for item in items if item.get(key) == wanted.strip('"')), None)
    return found
