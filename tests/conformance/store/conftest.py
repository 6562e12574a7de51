"""The places that the store suite runs over: a local folder, and a bucket of a real S3 server on loopback."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from astra_jobs.api.request import StoreSettings
from tests.patience import patience

COMMITTER = Path(__file__).with_name("committer.py")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A moto server with a bucket, and credentials for it in this process's environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="astra")
        client.close()
        yield endpoint
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """An empty store of each kind."""
    if request.param == "folder":
        return StoreSettings(url=f"file://{tmp_path}/store")
    return StoreSettings(url=f"s3://astra/{uuid.uuid4().hex}", endpoint=request.getfixturevalue("s3_endpoint"))


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """Make a local folder with the given files."""

    def make(name: str = "made", **files: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for path, data in files.items():
            target = folder / path.replace("__", "/").replace("_", ".")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder

    return make


@pytest.fixture
def committer() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``committer.py`` in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(COMMITTER), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, capture_output=True, text=True, timeout=patience(), env=environment, check=False)

    return run


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small tmpfs (root only): ``size=1m`` to be filled, ``ro`` to refuse."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; the same errors are made by limits and modes in test_store_limits.py")
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"volume{len(mounted)}"
        place.mkdir()
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["/bin/umount", str(place)], check=True)
