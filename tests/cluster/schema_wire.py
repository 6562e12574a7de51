"""The API server without a client's own opinion: raw JSON in, status code and JSON out, over one connection that is kept."""

import json
from typing import Any

from astra_jobs.api.artifact import Kind
from astra_operator.crdgen.names import NAMES
from tests.cluster.plane.plane import ControlPlane

CREATED, OK = 201, 200
REFUSED = (400, 422)


class Wire:
    """Dry-run requests with strict field validation as cluster administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        self.api = plane.api()
        self.namespace = plane.namespace("schema")
        self._url = self.api.configuration.host
        self._headers = {"content-type": "application/json", **self._authorization()}

    def _authorization(self) -> dict[str, str]:
        token = self.api.configuration.get_api_key_with_prefix("authorization")
        return {"authorization": token} if token else {}

    def close(self) -> None:
        """Close the connection."""
        self.api.rest_client.pool_manager.clear()
        self.api.close()

    def send(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Send one request and return the answer; a body that is text goes as it is."""
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        answer = self.api.rest_client.pool_manager.request(
            verb, self._url + path, body=data, headers={**self._headers, **headers}, retries=False
        )
        return answer.status, json.loads(answer.data)

    def try_run(self, kind: Kind, body: Any) -> tuple[int, dict[str, Any]]:
        """Ask if a run could be created."""
        return self.try_create(f"/apis/astra.dev/v1alpha1/namespaces/{self.namespace}/{NAMES[kind].plural}", body)

    def try_create(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Ask if an object could be created in a collection."""
        return self.send("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)


def refusal(code: int, answer: dict[str, Any]) -> str:
    """The words of a refusal; empty when the object would have been created. Anything else is a fault of the test."""
    assert code == CREATED or code in REFUSED, f"{code}: {answer}"
    return "" if code == CREATED else str(answer["message"])
