"""Full, read-only and refusing stores: one line that names store.url and the mend, and nothing half committed."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.store import Draft, open_store
from astra_jobs.runtime.writer import State

DRAFT = Draft(key=digest_of("too much"), kind="Test", stage="test")
MakeFolder = Callable[..., Path]
Mount = Callable[[str], Path]


def refused(settings: StoreSettings, folder: Path) -> BadInput:
    with pytest.raises(BadInput) as found:
        open_store(settings).commit(DRAFT, folder)
    error = found.value
    assert (error.where, error.reason) == ("store.url", "StoreUnavailable")
    assert settings.url in error.message
    assert "\n" not in error.message
    return error


def test_a_full_volume_commits_nothing_and_is_left_as_it_was(small_volume: Mount, folder_of: MakeFolder, tmp_path: Path) -> None:
    volume = small_volume("size=1m")
    settings = StoreSettings(url=f"file://{volume}/store")
    store = open_store(settings)
    small = store.commit(Draft(key=digest_of("small"), kind="Test", stage="test"), folder_of("small", a_bin=b"x" * 1000))
    error = refused(settings, folder_of("large", a_bin=b"x" * 700_000, b_bin=b"x" * 700_000))
    assert "is full" in error.message
    assert "free space" in error.message
    assert store.find(DRAFT.key) is None
    assert not [path for path in store.backend.sizes("work") if path.startswith(DRAFT.key.removeprefix("sha256:"))]
    store.fetch(small, tmp_path / "fetched")
    fits = store.commit(DRAFT, folder_of("fits", a_bin=b"x" * 400_000))
    assert store.find(DRAFT.key) == fits


def test_a_read_only_volume_still_serves_what_it_has(small_volume: Mount, folder_of: MakeFolder, tmp_path: Path) -> None:
    volume = small_volume("size=1m")
    settings = StoreSettings(url=f"file://{volume}/store")
    made = folder_of(a_txt=b"here")
    kept = open_store(settings).commit(Draft(key=digest_of("kept"), kind="Test", stage="test"), made)
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(volume)], check=True)
    assert "may not be written" in refused(settings, made).message
    assert open_store(settings).find(digest_of("kept")) == kept
    assert (open_store(settings).fetch(kept, tmp_path / "fetched") / "a.txt").read_bytes() == b"here"
    with pytest.raises(BadInput, match="may not be written"):
        State(open_store(settings).backend, "state/key/owner", 1, 0).start()


def test_a_file_that_hits_a_size_limit_is_a_full_store(committer: Callable[..., object], folder_of: MakeFolder, tmp_path: Path) -> None:
    """Needs no root: the kernel refuses the write in the middle of the file."""
    made = folder_of(a_bin=b"x" * 200_000)
    code = (
        "import sys; from pathlib import Path; from astra_jobs.api.request import StoreSettings;"
        "from astra_jobs.runtime.store import Draft, open_store;"
        "open_store(StoreSettings(url=sys.argv[1])).commit(Draft(key='k', kind='Test', stage='test'), Path(sys.argv[2]))"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    url = f"file://{tmp_path}/store"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(made)], capture_output=True, text=True, env=environment, preexec_fn=limit, check=False
    )
    assert f"BadInput: store.url: {url} is full" in done.stderr
    assert list(open_store(StoreSettings(url=url)).backend.sizes("")) == ["artifacts/k/used.json"]


class Refusing(BaseHTTPRequestHandler):
    """An S3 server that answers every put with the error of its path's first part."""

    protocol_version = "HTTP/1.1"
    codes = {"full": (507, "XMinioStorageFull"), "denied": (403, "AccessDenied"), "broken": (500, "InternalError")}  # noqa: RUF012

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, code = self.codes[self.path.split("/")[1]]
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>")

    def do_GET(self) -> None:
        self._answer(200, "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>")

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_POST = do_GET

    def _answer(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def refusing_endpoint(s3_endpoint: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("bucket", "said"), [("full", "is full"), ("denied", "may not be written or read")])
def test_a_bucket_that_refuses_puts(refusing_endpoint: str, folder_of: MakeFolder, bucket: str, said: str) -> None:
    settings = StoreSettings(url=f"s3://{bucket}/store", endpoint=refusing_endpoint)
    assert said in refused(settings, folder_of(a_txt=b"x")).message


def test_a_folder_that_may_not_be_made_is_refused(folder_of: MakeFolder) -> None:
    assert "may not be written" in refused(StoreSettings(url="file:///sys/astra-store"), folder_of(a_txt=b"x")).message
