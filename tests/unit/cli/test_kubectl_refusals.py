"""What `kubectl astra` says when the cluster, the kubeconfig or the store will not: one line, and what it asks the store by."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from astra_cli.kubectl import main, parser
from astra_cli.kubectl_inspect import Question, inspect_objects
from astra_jobs.api.request import StoreSettings
from astra_jobs.api.v1alpha1.pod import Pod
from astra_operator.settings import TeamSettings


class Answering(BaseHTTPRequestHandler):
    """An API server that gives everybody the same answer."""

    code, message = 200, ""

    def do_GET(self) -> None:
        body = json.dumps(
            {"kind": "Status", "message": self.message, "reason": "x", "metadata": {"resourceVersion": "1"}, "items": []}
        ).encode()
        self.send_response(self.code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def kubeconfig(folder: Path, url: str, namespace: str = "team") -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "current-context": "one",
    }
    path.write_text(json.dumps(config))
    return str(path)


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            404,
            "not found",
            "does not serve toolcorpora of astra.dev/v1alpha1; install the CRDs (kubectl apply -f crds/), or choose a --context",
        ),
        (403, 'toolcorpora is forbidden: User "eve" cannot list', 'User "eve" cannot list; ask for the right, or name a namespace with -n'),
        (401, "Unauthorized", "does not take these credentials (Unauthorized); log in again, or choose a --context"),
        (503, "overloaded", "503 overloaded"),
    ],
)
def test_what_the_server_will_not_is_one_line(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int, message: str, said: str
) -> None:
    server.RequestHandlerClass.code, server.RequestHandlerClass.message = code, message  # type: ignore[attr-defined]
    path = kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
    assert main(["status", "--kubeconfig", path]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kubectl astra: ")
    assert err.strip().endswith(said)
    assert err.count("\n") == 1


def test_nothing_there_is_no_error(server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
    assert main(["--kubeconfig", path, "status"]) == 0
    assert capsys.readouterr().err == "no runs in namespace team; apply manifests with kubectl apply -f\n"
    assert main(["--kubeconfig", path, "logs", "base", "-n", "other"]) == 78
    assert capsys.readouterr().err == "base: there is no such run; in namespace other there are: none; apply manifests first\n"


def test_a_server_out_of_reach_and_a_bad_kubeconfig_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    for words, said in [
        (["--kubeconfig", path], "cannot reach http://127.0.0.1:1: [Errno 111] Connection refused"),
        (["--kubeconfig", path, "--context", "two"], "there is no context 'two' in the kubeconfig; there are: one"),
        (["--kubeconfig", str(tmp_path / "none")], "name one with --kubeconfig or KUBECONFIG"),
    ]:
        assert main(["status", *words]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["-n", "a", "status"], ["status", "-n", "a"]])
def test_common_options_stand_before_or_after_the_command(words: list[str]) -> None:
    options = parser().parse_args(words)
    assert (options.namespace, options.context, options.kubeconfig) == ("a", None, None)


def test_the_inspecting_job_has_the_teams_image_the_store_and_the_least_rights() -> None:
    pod = Pod.model_validate(
        {
            "image": "own:1",
            "volumes": [{"name": "s", "claimName": "store", "mountPath": "/store"}],
            "imagePullSecrets": [{"name": "pull"}],
        }
    )
    question = Question(["logs", "--run", "u", "--attempt", "2"], StoreSettings(url="s3://b/x", endpoint="http://e"), pod, {"f": "text"})
    team = TeamSettings(store_url="s3://b/x", store_secret="keys", image="jobs:7")
    config, job = inspect_objects(question, team, "astra-logs-1")
    assert config["data"] == {"f": "text"}
    assert (job["spec"]["ttlSecondsAfterFinished"], job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (300, 0, 600)
    spec = job["spec"]["template"]["spec"]
    box = spec["containers"][0]
    assert (box["image"], box["envFrom"]) == ("jobs:7", [{"secretRef": {"name": "keys"}}])
    assert " ".join(box["command"]) == "astra-job inspect logs --run u --attempt 2 --store s3://b/x --endpoint http://e --framed"
    assert (spec["automountServiceAccountToken"], spec["securityContext"]["runAsNonRoot"]) == (False, True)
    assert box["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {"name": "claim-s", "persistentVolumeClaim": {"claimName": "store", "readOnly": False}} in spec["volumes"]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubectl-astra", "it is none of the operator's"
