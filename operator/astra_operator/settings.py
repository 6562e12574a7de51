"""What a team shares, and what the operator itself may be told: the only place of both.

A team's settings are the data of the ConfigMap ``astra-team`` of its namespace; on a laptop the local cluster answers
with the same keys. The operator holds no credentials: a store's are in a Secret that pods read by name.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from pydantic import Field, ValidationError

from astra_jobs.api.base import Model
from astra_jobs.api.errors import BadInput
from astra_jobs.api.invalid import explain
from astra_jobs.api.request import StoreSettings

TEAM_CONFIG = "astra-team"
DISTRIBUTION = "astra-on-kubernetes"


class TeamSettings(Model):
    """The data of ``astra-team``."""

    store_url: str = Field(description="fsspec URL of the artifact store", min_length=1)
    store_endpoint: str = Field(default="", description="S3 endpoint URL, for stores that are not AWS")
    store_secret: str = Field(default="", description="Secret whose keys become environment variables of the pods")
    image: str = Field(default="astra-jobs", description="image of every job pod; a laptop ignores it")
    isolation: Literal["Process"] = Field(default="Process", description="what tool code runs in")

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
        return self.code_version or version(DISTRIBUTION)


def parse_team(data: dict[str, str], namespace: str) -> TeamSettings:
    """Read a team's settings; raises ``BadInput`` with the reason SettingsInvalid."""
    where = f"ConfigMap {namespace}/{TEAM_CONFIG}"
    if not data:
        raise BadInput(where, "SettingsInvalid", "it does not exist or is empty; set storeUrl in it")
    try:
        return TeamSettings.model_validate(data)
    except ValidationError as error:
        raise BadInput(where, "SettingsInvalid", str(explain(error, TeamSettings))) from error
