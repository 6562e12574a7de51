"""Pauses that are short enough for hundreds of failures."""

import pytest

from astra_jobs.sandbox.remote import line


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(line, "LONGEST_PAUSE", 0.02)
