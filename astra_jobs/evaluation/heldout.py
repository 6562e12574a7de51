"""The held-out environments that every model is measured on: the same ones for all, chosen by digest and not by order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.records.environment import Environment
from astra_jobs.records.lines import read_lines


@dataclass(frozen=True)
class HeldOut:
    """The chosen environments and the digest of the choice."""

    environments: list[Environment]
    digest: str


def held_out(folders: Sequence[Path], wanted: int) -> HeldOut:
    """Return the first ``wanted`` held-out environments by digest; BadInput when there are fewer."""
    found = {}
    for folder in folders:
        for entry in read_lines(folder / "heldout.jsonl", Environment):
            if entry.split != "HeldOut":
                raise BadInput(f"heldout.jsonl: {entry.id}", "HeldOutLeak", "it is of the training split; make the environments again")
            found[digest_of(entry.to_dict())] = entry
    if len(found) < wanted:
        mend = "lower evaluation.episodes, or raise questions or heldOut of the environments"
        raise BadInput("evaluation.episodes", "TooFewEnvironments", f"{wanted} are asked for, {len(found)} are held out; {mend}")
    chosen = sorted(found)[:wanted]
    return HeldOut([found[digest] for digest in chosen], digest_of(chosen))
