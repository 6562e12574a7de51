"""Where and when a pass takes place: the team's settings, the operator's, the time."""

from dataclasses import dataclass
from datetime import datetime

from astra_operator.settings import OperatorSettings, TeamSettings


@dataclass(frozen=True)
class Site:
    """What a pass knows besides the run and its children."""

    team: TeamSettings
    settings: OperatorSettings
    now: datetime
