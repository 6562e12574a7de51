"""The metrics page as Prometheus' own parser reads it."""

from prometheus_client.parser import text_string_to_metric_families

from astra_jobs.sandbox.server.metrics import CallMetrics, family
from tests.unit.sandbox.server.kit import call, opened, real, run, serving


def read(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = [sample for metric in text_string_to_metric_families(page) for sample in metric.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample came twice"
    return found


def test_calls_are_counted_by_outcome_and_time() -> None:
    metrics = CallMetrics()
    for seconds in (0.0, 0.0001, 0.00011, 0.2, 1e6):
        metrics.add("ok", seconds)
    metrics.add("tool_error", 0.3)
    found = read(metrics.text())
    assert found["astra_sandbox_calls_total", (("outcome", "ok"),)] == 5
    assert found["astra_sandbox_call_seconds_bucket", (("le", "0.0001"),)] == 2
    assert found["astra_sandbox_call_seconds_bucket", (("le", "0.25"),)] == 4
    assert found["astra_sandbox_call_seconds_bucket", (("le", "+Inf"),)] == found["astra_sandbox_call_seconds_count", ()] == 6


def test_labels_are_escaped() -> None:
    assert (("why", 'a\\b"c\nd'),) in {labels for _, labels in read(family("x", "gauge", "About.", [({"why": 'a\\b"c\nd'}, 1)]))}


def test_the_page_of_a_server_tells_of_requests_and_pool_and_names_nobody() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            client = await server.client()
            await opened(client, "secret-name")
            await client.asked("POST", "/v1/calls", {"calls": [call("secret-name", 0), call("secret-name", 1, "secret-tool")]})
            assert (await (await server.client()).asked("GET", "/secret-path", None, b"")).status == 401
            answer = await client.asked("GET", "/metrics", None, b"")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            page = answer.body.decode()
            found = read(page)
            assert found["astra_sandbox_http_requests_total", (("route", "calls"), ("status", "200"))] == 1
            assert found["astra_sandbox_http_requests_total", (("route", "none"), ("status", "401"))] == 1
            assert found["astra_sandbox_calls_total", (("outcome", "unknown_tool"),)] == 1
            assert found["astra_sandbox_pool_sessions", ()] == 1
            assert "secret" not in page

    run(body())
