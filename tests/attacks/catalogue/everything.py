"""All attacks. Importing this fills ``ATTACKS``."""

from tests.attacks.attack import ATTACKS
from tests.attacks.catalogue import (
    archives,
    channels,
    determinism,
    escalation,
    files,
    information,
    kernel,
    memory,
    network,
    output,
    processes,
    protocol,
    time,
)

MODULES = (time, memory, archives, processes, output, files, information, network, escalation, kernel, protocol, determinism, channels)

__all__ = ["ATTACKS", "MODULES"]
