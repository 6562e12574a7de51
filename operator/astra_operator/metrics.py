"""What Prometheus may know of the operator, and the small HTTP server that tells it and answers the liveness probe.

Runs are counted when they are asked for, from memory. The server has threads of its own, so that it also answers, in red, when
the operator's loop does not turn any more.
"""

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from astra_operator.clusters.index_store import Conditions
from astra_operator.steps import Open, Start, Step
from astra_operator.view import View

Standings = Mapping[tuple[str, Conditions], int]
"""How many runs of a kind have just these conditions."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one operator, thread-safe, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that nobody asks for
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        at = self.registry
        self._reconciles = Counter("astra_reconciles", "looks at runs, by how they ended", ["kind", "outcome"], registry=at)
        self._seconds = Histogram("astra_reconcile_seconds", "duration of a look at a run", registry=at, buckets=_SECONDS)
        self._calls = Counter("astra_api_calls", "calls to the API server; code 0: no answer", ["verb", "resource", "code"], registry=at)
        self._attempts = Counter("astra_attempts", "attempts opened", ["kind"], registry=at)
        self._restarts = Counter(
            "astra_restarts", "launches after the first of a stage, by why the one before ended", ["kind", "cause"], registry=at
        )
        self._depth = Gauge("astra_queue_depth", "runs that wait to be looked at or are being looked at", registry=at)
        self._lists = Counter("astra_missed_events", "changes that a list found and no event had brought", registry=at)
        self._streams = Counter("astra_stream_starts", "times that the streams of events were opened anew as a whole", registry=at)

    def watch(self, depth: Callable[[], int], standings: Callable[[], Standings]) -> None:
        """Say where to ask for the length of the queue, and for how many runs have which conditions."""
        self._depth.set_function(depth)
        self.registry.register(_Runs(standings))

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a look at a run."""
        self._reconciles.labels(kind, outcome).inc()
        self._seconds.observe(seconds)

    def called(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count a call to the API server; see ``ClusterHooks.on_call``."""
        self._calls.labels(verb, resource, str(code)).inc()

    def missed(self, number: int) -> None:
        """Count changes that no event had brought."""
        self._lists.inc(number)

    def streaming(self) -> None:
        """Count a start of the streams."""
        self._streams.inc()

    def taken(self, view: View, step: Step) -> None:
        """Count a step of a reconcile."""
        kind = view.run["kind"]
        if isinstance(step, Open):
            self._attempts.labels(kind).inc()
        elif isinstance(step, Start) and step.restart > 0:
            end = view.launch.end if view.launch else None
            self._restarts.labels(kind, end.cause if end else "Unknown").inc()


class _Runs(Collector):
    def __init__(self, standings: Callable[[], Standings]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        """Count the runs of each kind by each of their conditions."""
        tally: Tally[tuple[str, str, str]] = Tally()
        for (kind, conditions), number in self._standings().items():
            for name, status in conditions or (("Known", "True"),):
                tally[kind, name, status] += number
        family = GaugeMetricFamily("astra_runs", "runs by condition and its status", labels=["kind", "condition", "status"])
        for labels, number in sorted(tally.items()):
            family.add_metric(labels, number)
        yield family


def serve(port: int, metrics: Metrics, problems: Callable[[], list[str]]) -> ThreadingHTTPServer:
    """Answer GET /metrics and /healthz on a port (0: any that is free) until the process ends; raises ``OSError``."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds; a client that says nothing does not keep a thread

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry))
            elif self.path == "/healthz":
                found = problems()
                self._answer(503 if found else 200, ("\n".join(found or ["ok"]) + "\n").encode())
            else:
                self._answer(404, b"ask for /metrics or /healthz\n")

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: probes come every few seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
