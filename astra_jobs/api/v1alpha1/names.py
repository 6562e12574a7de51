"""What names and quantities may look like: patterns that Kubernetes demands of what they end up in."""

from typing import Annotated

from pydantic import StringConstraints

from astra_jobs.api.base import NAME_PATTERN

_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LABEL = r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=52)]
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
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti|k|M|G)?$", max_length=20)]
