"""Scrapes processes while a test goes on and keeps every sample, for a Prometheus to answer from afterwards."""

import http.client
import threading
import time
from collections.abc import Callable
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.prometheus import Sample
from tests.patience import patience

EVERY = 1.0


class Scraper:
    """Asks for the metrics of a job once a second; a job that does not answer is asked again. Used with ``with``."""

    def __init__(self, job: str, page: Callable[[], str]) -> None:
        self.samples: list[Sample] = []
        self._job, self._page = job, page
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=patience())

    def look(self) -> list[Sample]:
        """Scrape now, beside what is done anyway; return what was told, which is nothing when nobody answers."""
        try:
            found = read(self._job, self._page(), time.time())
        except (OSError, http.client.HTTPException):
            return []  # it is not there yet, or is being started anew
        self.samples += found
        return found

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.look()


def read(job: str, page: str, moment: float) -> list[Sample]:
    """Return the samples of a page of metrics, with the labels that a Prometheus adds."""
    found = []
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = sample.labels | {"job": job, "instance": "recorded"}
            written = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found.append((f"{sample.name}{{{written}}}", sample.value, moment))
    return found
