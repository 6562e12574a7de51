"""A real sandbox server that is called for some seconds, and what it tells of that."""

import time
from pathlib import Path

from tests.e2e.sandbox.server_process import server
from tests.monitoring.prometheus import Sample
from tests.monitoring.scraper import Scraper
from tests.patience import patience

SCRAPES, SECONDS = 4, 60


def sandbox_samples(folder: Path) -> list[Sample]:
    """Return what a server tells while a session calls tools well and wrongly."""
    with server(folder) as running:
        running.open("a")
        with Scraper("sandbox", lambda: running.ask("GET", "/metrics")[1].decode()) as scraper:
            deadline, seq = time.monotonic() + patience(SECONDS), 0
            while len({moment for _, _, moment in scraper.samples}) < SCRAPES:
                assert time.monotonic() < deadline, "the server was not scraped"
                running.call("a", seq, "add", **({"x": 1} if seq % 2 else {"y": 1}))
                seq += 1
        return scraper.samples
