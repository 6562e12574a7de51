"""Injected tool faults: seeded, typed, labelled, drawn outside the author (paper 3.3: probability 0.20, SPEC 2.8).

The authors' code has no injector; its emulator's prompt merely allows failures. A bound on faults in a row keeps every
conversation winnable; a call that the bound protects is not drawn for, so the rate holds over the calls that are.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

from astra_jobs.api.v1alpha1.chains import ChainRollout
from astra_jobs.episodes.observation import error_text, result_text

KINDS: tuple[str, ...] = ("timeout", "unreachable", "rateLimited", "serverError", "malformed", "empty", "auth")
MAX_CHARS = 4096


@dataclass
class FaultInjector:
    """Draws faults for the calls of one conversation, in the order of the calls."""

    settings: ChainRollout
    stream: random.Random
    in_a_row: int = 0
    drawn: int = 0
    injected: list[str] = field(default_factory=list)

    def draw(self) -> str | None:
        """Return the fault that befalls the next call, or None."""
        if self.in_a_row >= self.settings.max_consecutive_failures:
            self.in_a_row = 0
            return None
        self.drawn += 1
        if self.stream.random() >= self.settings.failure_rate:
            self.in_a_row = 0
            return None
        self.in_a_row += 1
        self.injected.append(self.stream.choice(KINDS))
        return self.injected[-1]


def fault_text(fault: str, value: Any) -> str:
    """Return what the model sees of a fault: an error object, nothing, or the beginning of the answer's JSON."""
    if fault == "empty":
        return ""
    if fault == "malformed":
        text = result_text(value, MAX_CHARS)
        return text[: max(1, len(text) // 3)]
    return error_text(fault, MAX_CHARS)


def readable(text: str) -> Any:
    """Return the JSON object that a tool's text holds, or None when it is a fault or an error."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return None if not isinstance(value, dict) or "error" in value else value
