"""What names may look like: patterns that Kubernetes demands of what they end up in."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from astra_jobs.api.base import NAME_PATTERN

LONGEST_NAME = 52
"""Longest name of a run, and of a workload made for it: the pods of a PyTorchJob add "-worker-999", and a DNS label has 63 characters."""
LETTER_FIRST = "must begin with a letter, as its PyTorchJobs and Services do (DNS-1035); put a word in front, such as run-"
"""What a name is refused with that only some of a run's children can bear."""

_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LABEL = r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"


def _letter_first(name: str) -> str:
    if not name[0].isalpha():
        raise ValueError(LETTER_FIRST)
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=LONGEST_NAME)]
LetterName = Annotated[Name, AfterValidator(_letter_first)]
QueueName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=63)]
ObjectName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=253)]
ManagerName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[-._A-Za-z0-9]+$", max_length=63)
]
LabelKey = Annotated[str, StringConstraints(pattern=rf"^([a-z0-9][-.a-z0-9]*[a-z0-9]/)?{_LABEL}$", max_length=253)]
LabelValue = Annotated[str, StringConstraints(pattern=rf"^({_LABEL})?$", max_length=63)]
DataKey = Annotated[str, StringConstraints(pattern=r"^[-_A-Za-z0-9][-._A-Za-z0-9]*$", max_length=253)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
MountPath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_][-._A-Za-z0-9]*)+$", max_length=200)]
ImageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-._:@/A-Za-z0-9]*[A-Za-z0-9])?$", max_length=500)]
