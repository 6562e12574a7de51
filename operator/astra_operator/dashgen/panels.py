"""What the dashboard shows, once: rows of panels, each with the queries that draw it. ``$__rate_interval`` is Grafana's.

No query names a job, a namespace or a pod, so they hold however the pods are scraped.
"""

from dataclasses import dataclass
from typing import Literal

_OPERATOR = "and on (job, instance) astra_queue_depth"
"""Of what every process exports, that of the operator."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture; ``unit`` is Grafana's name of it."""

    title: str
    queries: tuple[Query, ...]
    about: str
    unit: str = "short"
    kind: Literal["stat", "timeseries"] = "timeseries"


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _runs(condition: str, status: str = "True") -> str:
    return f'sum(astra_runs{{condition="{condition}", status="{status}"}}) or vector(0)'


def _kinds(condition: str, status: str) -> tuple[Query, ...]:
    return (Query(f'sum by (kind) (astra_runs{{condition="{condition}", status="{status}"}})', "{{kind}}"),)


def _quantiles(histogram: str) -> tuple[Query, ...]:
    rate = f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({share}, {rate})", name) for share, name in ((0.5, "p50"), (0.99, "p99")))


def _rate(by: str, counter: str) -> tuple[Query, ...]:
    return (Query(f"sum by ({by}) (rate({counter}[$__rate_interval]))", " ".join(f"{{{{{label}}}}}" for label in by.split(", "))),)


ROWS: tuple[Row, ...] = (
    Row(
        "Runs",
        (
            Panel("Succeeded", (Query(_runs("Succeeded")),), "Runs whose artifact is there", kind="stat"),
            Panel("Under way", (Query(_runs("Reconciling")),), "Runs that move, or wait for something that comes by itself", kind="stat"),
            Panel("Stalled", (Query(_runs("Stalled")),), "Runs for which somebody has to change something", kind="stat"),
            Panel("Suspended", (Query(_runs("Suspended")),), "Runs whose spec.suspend is true", kind="stat"),
            Panel("Under way, by kind", _kinds("Reconciling", "True"), "Runs that move or wait"),
            Panel("Stalled, by kind", _kinds("Stalled", "True"), "The condition Stalled says what has to be changed"),
            Panel("Waiting for other runs", _kinds("InputsReady", "False"), "Runs that refer to one without an artifact"),
            Panel("Waiting for sandbox pools", _kinds("ServicesReady", "False"), "Runs whose stage needs a pool that does not answer yet"),
            Panel("Made by another version", _kinds("Outdated", "True"), "Nothing follows from it; rerun makes them anew"),
            Panel(
                "Attempts opened in an hour",
                (Query("sum by (kind) (increase(astra_attempts_total[1h]))", "{{kind}}"),),
                "A new spec, a new input or a rerun opens one",
            ),
            Panel(
                "Restarts in an hour",
                (Query("sum by (kind, cause) (increase(astra_restarts_total[1h]))", "{{kind}} {{cause}}"),),
                "Launches after the first of a stage, by why the one before ended",
            ),
        ),
    ),
    Row(
        "Operator",
        (
            Panel("Looks at runs", _rate("kind, outcome", "astra_reconciles_total"), "Reconciles by how they ended", "ops"),
            Panel("Duration of a look", _quantiles("astra_reconcile_seconds"), "Calls to the API server and to pods included", "s"),
            Panel("Queue", (Query("astra_queue_depth", "{{instance}}"),), "Runs that wait to be looked at, or are being looked at"),
            Panel("Calls to the API server", _rate("verb, resource", "astra_api_calls_total"), "By what was asked for", "ops"),
            Panel("Answers of the API server", _rate("code", "astra_api_calls_total"), "By code; 0 is no answer", "ops"),
            Panel(
                "Missed events and reopened streams in an hour",
                (
                    Query("sum(increase(astra_missed_events_total[1h]))", "missed events"),
                    Query("sum(increase(astra_stream_starts_total[1h]))", "streams opened"),
                ),
                "Changes that only a list found, and starts of the watches as a whole",
            ),
            Panel("Memory", (Query(f"process_resident_memory_bytes {_OPERATOR}", "{{instance}}"),), "Resident memory", "bytes"),
            Panel(
                "CPU",
                (Query(f"rate(process_cpu_seconds_total[$__rate_interval]) {_OPERATOR}", "{{instance}}"),),
                "Cores in use",
            ),
        ),
    ),
    Row(
        "Sandbox pools",
        (
            Panel("Tool calls", _rate("outcome", "astra_sandbox_calls_total"), "By outcome, as the model or the reward sees it", "ops"),
            Panel("Duration of a call", _quantiles("astra_sandbox_call_seconds"), "From arrival to result, waiting included", "s"),
            Panel(
                "Sessions",
                (
                    Query("sum(astra_sandbox_pool_sessions)", "open"),
                    Query("sum(astra_sandbox_pool_busy)", "working"),
                    Query("sum(astra_sandbox_pool_sessions_waiting)", "waiting"),
                ),
                "Open ones, those that run a call, and those that wait for a place",
            ),
            Panel(
                "Zygotes",
                (Query("sum(astra_sandbox_pool_zygote_bytes)", "memory"),),
                "Memory of the processes that environments are forked from",
                "bytes",
            ),
            Panel(
                "Forks and replays",
                (
                    Query("sum(rate(astra_sandbox_pool_forks_total[$__rate_interval]))", "forks"),
                    Query("sum(rate(astra_sandbox_pool_replays_total[$__rate_interval]))", "replays"),
                ),
                "Processes begun, and sessions that came back by replay of their log",
                "ops",
            ),
            Panel("HTTP answers", _rate("status", "astra_sandbox_http_requests_total"), "Requests by status", "reqps"),
        ),
    ),
)
