"""What a team shares, and what the operator itself may be told: the only place of both, and the only reader of the environment.

A team's settings are the data of the ConfigMap ``astra-team`` of its namespace; on a laptop the local cluster answers
with the same keys. The operator holds no credentials: a store's are in a Secret that pods read by name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator

from astra_jobs.api.base import Model
from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.v1alpha1.names import ObjectName

TEAM_CONFIG = "astra-team"
LAPTOP_CONFIG = "astra-laptop"
"""The same settings for ``astra run``: a folder of manifests that holds them can be applied to a cluster and changes no team's."""
DISTRIBUTION = "astra-on-kubernetes"
EVERYWHERE = "*"
_LEASE_THREADS = 8
# Numbers below two thousand millions, which every system has; the user may not be root.
_ID = r"[1-9][0-9]{0,8}|1[0-9]{9}"
POD_USER, POD_GROUP = rf"^({_ID}|Assigned)$", rf"^({_ID}|0)?$"
PodUser = Annotated[str, StringConstraints(pattern=POD_USER)]
PodGroup = Annotated[str, StringConstraints(pattern=POD_GROUP)]


class TeamSettings(Model):
    """The data of ``astra-team``."""

    store_url: str = Field(description="fsspec URL of the artifact store", min_length=1)
    store_endpoint: str = Field(default="", description="S3 endpoint URL, for stores that are not AWS")
    store_secret: str = Field(default="", description="Secret whose keys become environment variables of the pods")
    image: str = Field(default="astra-jobs", description="image of every job pod; a laptop ignores it")
    pod_user: PodUser = Field(
        default="65532",
        description="user of every pod, by number and not root; Assigned where the cluster gives each namespace users of its own "
        "(OpenShift)",
    )
    pod_group: PodGroup = Field(
        default="", description="group of every pod and of the volumes that it mounts, by number; left out, the number of podUser"
    )
    isolation: Literal["Process", "gVisor"] = Field(
        default="Process", description="what tool code runs in: the job's own process, or a pool of gVisor pods"
    )
    runtime_class: ObjectName = Field(default="gvisor", description="RuntimeClass of the pool's pods")
    network_policy: Literal["Enforced", "Unenforced"] = Field(
        default="Enforced", description="what the cluster's network does with the pool's NetworkPolicy, which is made in any case"
    )
    sandbox_image: str = Field(default="", description="image of the pool's pods; left out, the one of job pods")
    sandbox_users: Literal["Own", "Shared"] = Field(
        default="Own",
        description="users of a pool's sessions: one for each, in pods that start as root with three capabilities (Pod Security level "
        "baseline), or the pod's one user without any right (level restricted)",
    )

    @field_validator("store_url")
    @classmethod
    def _whole(cls, url: str) -> str:
        scheme, found, rest = url.partition("://")
        if not found or not scheme:
            raise ValueError("a relative path leads nowhere in a pod; write s3://BUCKET/TEAM, or file:///PATH on a claim of its pods")
        if scheme == "file" and not rest.startswith("/"):
            raise ValueError("a folder's URL has three slashes; write file:///PATH")
        return url

    @property
    def store(self) -> StoreSettings:
        """Return the part that pods are told."""
        return StoreSettings(url=self.store_url, endpoint=self.store_endpoint or None)


@dataclass(frozen=True)
class OperatorSettings:
    """How the reconcile paces itself; times in seconds."""

    poll: float = 10.0
    progress_interval: float = 30.0
    first_restart_delay: float = 10.0
    longest_restart_delay: float = 300.0
    code_version: str = ""

    @property
    def installed(self) -> str:
        """Return the version that attempts are frozen with."""
        return self.code_version or _version()


@cache
def _version() -> str:
    """Return the version of the installed distribution. Read from disk once: every look at a run asks for it."""
    return version(DISTRIBUTION)


@dataclass(frozen=True)
class ProcessSettings:
    """What the operator's process is told by its environment; times in seconds.

    No ``namespaces`` means every namespace of the cluster. ``silence_seconds`` is how long a stream may bring nothing before it is
    opened anew; the API server says something every minute.
    """

    namespaces: tuple[str, ...]
    kubeconfig: Path | None = None
    port: int = 8080
    workers: int = 8
    resync_seconds: float = 300.0
    lease_seconds: float = 15.0
    silence_seconds: float = 70.0
    pace: OperatorSettings = field(default_factory=OperatorSettings)

    @property
    def chores(self) -> int:
        """Return how many threads list and keep Leases."""
        return 2 + (len(self.namespaces) or _LEASE_THREADS)


def process_settings(environment: Mapping[str, str] | None = None) -> ProcessSettings:
    """Read the operator's settings, of this process by default; raises ``BadInput`` that names the variable and its mend."""
    told = os.environ if environment is None else environment
    kubeconfig = told.get("KUBECONFIG", "")
    pace = OperatorSettings()
    first_restart = _number(told, "ASTRA_FIRST_RESTART_SECONDS", pace.first_restart_delay, 0, pace.longest_restart_delay)
    return ProcessSettings(
        namespaces=_namespaces(told),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        port=int(_number(told, "ASTRA_PORT", 8080, 0, 65535, whole=True)),
        workers=int(_number(told, "ASTRA_WORKERS", 8, 1, 256, whole=True)),
        resync_seconds=_number(told, "ASTRA_RESYNC_SECONDS", 300, 1, 86400),
        lease_seconds=_number(told, "ASTRA_LEASE_SECONDS", 15, 2, 3600),
        silence_seconds=_number(told, "ASTRA_SILENCE_SECONDS", 70, 2, 3600),
        pace=OperatorSettings(
            poll=_number(told, "ASTRA_POLL_SECONDS", pace.poll, 0.1, 3600),
            progress_interval=_number(told, "ASTRA_PROGRESS_SECONDS", pace.progress_interval, 0.1, 3600),
            first_restart_delay=first_restart,
        ),
    )


def _namespaces(told: Mapping[str, str]) -> tuple[str, ...]:
    text = told.get("ASTRA_NAMESPACES", "")
    if text.strip() == EVERYWHERE:
        return ()
    names = [name.strip() for name in text.split(",")]
    if not text.strip():
        raise BadInput(
            "ASTRA_NAMESPACES", "SettingsInvalid", "it is not set; name the namespaces to serve, with commas between them, or * for all"
        )
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise BadInput(
                "ASTRA_NAMESPACES", "SettingsInvalid", f'"{name}" is no name of a namespace; write names with commas between them'
            )
    return tuple(dict.fromkeys(names))


def _number(told: Mapping[str, str], name: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
    text = told.get(name, "")
    if not text:
        return default
    wanted = f"set a {'whole ' if whole else ''}number from {least:g} to {most:g}, or leave it out for {default:g}"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise BadInput(name, "SettingsInvalid", f'"{text}" is not a number; {wanted}') from None
    if not least <= value <= most:
        raise BadInput(name, "SettingsInvalid", f"{text} is out of range; {wanted}")
    return value


def parse_team(data: dict[str, str], namespace: str) -> TeamSettings:
    """Read a team's settings; raises ``BadInput`` with the reason SettingsInvalid."""
    where = f"ConfigMap {namespace}/{TEAM_CONFIG}"
    if not data:
        raise BadInput(where, "SettingsInvalid", "it does not exist or is empty; set storeUrl in it")
    try:
        return TeamSettings.model_validate(data)
    except ValidationError as error:
        raise BadInput(where, "SettingsInvalid", str(explain(error, TeamSettings))) from error
