"""What the cluster says of a trouble, in its own words → the reason of a condition. Pure.

The same words come by many ways: the answer to a creation, an event of a Job whose pods are refused, an event of a pod whose volume is
missing, the state of a container. One table judges them all.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

_WORDS: tuple[tuple[str, str], ...] = (
    (r"service ?account .*not found", "ServiceAccountMissing"),
    (r"no PriorityClass with name", "PriorityClassMissing"),
    (r"RuntimeClass .*not found|no runtime for|runtime handler .*not", "SandboxRuntimeMissing"),
    (r"exceeded quota|failed quota|(maximum|minimum) .*(usage per|limit to request ratio)", "QuotaRefused"),
    (r'persistentvolumeclaim "?[^ "]+"? (not found|is being deleted)', "ClaimMissing"),
    (r"unbound immediate PersistentVolumeClaims|Multi-Attach|(Attach|Mount)Volume\..*(timed out|deadline)", "VolumeUnavailable"),
    (r'(secret|configmap)s? "[^"]+" not found|(secret|config ?map) key|find key .* in (secret|configmap)|pull secrets?', "SecretMissing"),
    (r"because it is being terminated", "NamespaceTerminating"),
)
_EVENTS = {
    "FailedCreate": "Refused",
    "FailedCreatePod": "Refused",
    "FailedMount": "VolumeUnavailable",
    "FailedMapVolume": "VolumeUnavailable",
    "FailedAttachVolume": "VolumeUnavailable",
    "FailedCreatePodSandBox": "SandboxRuntimeMissing",
    "FailedToRetrieveImagePullSecret": "SecretMissing",
    "FailedScheduling": "WaitingForCapacity",
    "NetworkNotReady": "WaitingForNode",
    "NodeNotReady": "NodeLost",
}
"""Warnings that tell why nothing starts, and what they mean when their words say no more."""

REFUSALS = ("Refused", "NameTaken", "QuotaRefused", "NamespaceTerminating", "PriorityClassMissing", "ServiceAccountMissing")
"""Reasons of what an API server would not take, or under a name that is not free."""
BLOCKING = (
    "Refused",
    "ServiceAccountMissing",
    "PriorityClassMissing",
    "SecretMissing",
    "ClaimMissing",
    "ContainerRefused",
    "QueueDeactivated",
    "NamespaceTerminating",
)
"""Reasons that go away only when somebody changes something; for the others time may be enough."""


class Warned(NamedTuple):
    """A Warning event about an object."""

    reason: str
    message: str
    time: datetime


class Hint(NamedTuple):
    """Why an object makes no progress, by its events: the object's name, a condition's reason, a line for people."""

    name: str
    reason: str
    message: str


def reason_of(text: str, default: str) -> str:
    """Return the reason that the cluster's words amount to, ``default`` when they are of no known kind."""
    return next((reason for words, reason in _WORDS if re.search(words, text, re.IGNORECASE)), default)


def hint(name: str, warned: Iterable[Warned]) -> Hint | None:
    """Return what the newest Warning event that explains a standstill says of an object, None when none does.

    A Secret that an image cannot be pulled without is said once and before the failures that follow from it, so it comes first.
    """
    known = sorted((item for item in warned if item.reason in _EVENTS), key=lambda item: item.time)
    if not known:
        return None
    newest = next((item for item in reversed(known) if item.reason == "FailedToRetrieveImagePullSecret"), known[-1])
    message = " ".join(newest.message.split())
    return Hint(name, reason_of(message, _EVENTS[newest.reason]), f"{newest.reason}: {message}")
