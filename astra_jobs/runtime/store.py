"""The artifact store: data first, then one small manifest put only if absent, and that put is the commit (DESIGN 4).

    work/<key>/<restart>/<writer>/<file>   data, written before anybody can see it
    artifacts/<key>/<manifest>.json        sidecar: where the data of that manifest is, when and where it was written
    artifacts/<key>/manifest.json          the commit: canonical bytes, whose SHA-256 is the artifact's digest
    state/<key>/<owner>/                   starts of writers, journal and checkpoints (``writer``)
    tenants/<namespace>                    whose runs use the store

What was made again after a collection is at another place than <key> (``places``).

Object stores have no rename, so nothing here needs one. The manifest says what, never where or when: two runs that make
the same bytes make the same digest. Each start of a writer gets a folder of its own, so nothing that a slower twin still
writes can reach data that was committed.
"""

import hashlib
import json
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact, FileEntry, Manifest
from astra_jobs.api.base import canonical
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.backend import Backend
from astra_jobs.runtime.bucket import BucketBackend
from astra_jobs.runtime.folder import FolderBackend
from astra_jobs.runtime.places import current_place, take_up

_AGAIN = "run what made it again (a new value of its rerun field)"


@dataclass(frozen=True)
class Draft:
    """What is committed: the manifest without its files. ``restart`` only places the data."""

    key: str
    kind: str
    stage: str
    shard: int = 0
    metrics: dict[str, str] | None = None
    inputs: tuple[str, ...] = ()
    restart: int = 0


class Store:
    """Artifacts by key, under one URL."""

    def __init__(self, backend: Backend, endpoint: str | None = None) -> None:
        self.backend = backend
        self.endpoint = endpoint

    @property
    def url(self) -> str:
        """Root of the store."""
        return self.backend.url

    def enter(self, namespace: str) -> None:
        """Note whose runs use the store, so that a collection for others removes nothing of theirs."""
        self.backend.create(f"tenants/{namespace}", b"{}")

    def find(self, key: str) -> Artifact | None:
        """Return the committed artifact of a key, or None; a damaged one is refused, never made again silently."""
        return self._find_at(current_place(self.backend, key))

    def claim(self, key: str) -> Artifact | None:
        """Do as ``find``, and keep what is found from a collection that does not know yet who uses it."""
        if self.backend.read(f"artifacts/{current_place(self.backend, key)}/manifest.json") is None:
            return None
        return self._find_at(take_up(self.backend, key))  # nothing of it is looked at before: a collection may be at it

    def _find_at(self, place: str) -> Artifact | None:
        data = self.backend.read(f"artifacts/{place}/manifest.json")
        if data is None:
            return None
        artifact = self.artifact_of(place, data)
        manifest = self.manifest(artifact)
        sizes = self.backend.sizes(self.data_folder(artifact))
        for entry in manifest.files:
            if sizes.get(entry.path) != entry.size:
                raise _damaged(artifact, entry.path, f"{sizes.get(entry.path, 'no')} bytes instead of {entry.size}")
        return artifact

    def manifest(self, artifact: Artifact) -> Manifest:
        """Return an artifact's manifest after checking its digest."""
        data = self.backend.read(self._path_of(artifact) + "/manifest.json")
        if data is None:
            raise BadInput(artifact.uri, "InputUnavailable", f"manifest.json is not in the store; {_AGAIN}")
        if _sha256(data) != artifact.digest:
            raise _damaged(artifact, "manifest.json", f"digest {_sha256(data)} instead of {artifact.digest}")
        try:
            return Manifest.model_validate_json(data)
        except ValidationError:
            raise _damaged(artifact, "manifest.json", "not a manifest") from None

    def fetch(self, artifact: Artifact, target: Path) -> Path:
        """Return a local folder with the artifact's files, each checked by size and SHA-256.

        A store on this machine is read in place; otherwise ``target`` is filled.
        """
        if not artifact.uri.startswith(self.url + "/artifacts/"):
            return _store_of(artifact, self.endpoint).fetch(artifact, target)
        manifest = self.manifest(artifact)
        folder = self.data_folder(artifact)
        sizes = self.backend.sizes(folder)
        for entry in manifest.files:
            if sizes.get(entry.path) != entry.size:
                raise _damaged(artifact, entry.path, f"{sizes.get(entry.path, 'no')} bytes instead of {entry.size}")
        target.mkdir(parents=True, exist_ok=True)
        local = self.backend.download(folder, [entry.path for entry in manifest.files], target)
        for entry in manifest.files:
            if (found := _hash_file(local / entry.path)) != entry.sha256:
                raise _damaged(artifact, entry.path, f"SHA-256 {found[:12]}… instead of {entry.sha256[:12]}…")
        return local

    def commit(self, draft: Draft, folder: Path) -> Artifact:
        """Commit a folder's files under the draft's key and return the artifact that the key names from then on.

        Exactly one of several writers wins; the others get the winner's artifact. A failure leaves nothing committed.
        """
        place = take_up(self.backend, draft.key)  # before the first byte: what lies at a place that nobody uses may be removed
        data = f"work/{place}/{draft.restart}/{secrets.token_hex(6)}"
        try:
            files = [self._upload(folder, path, data) for path in _files_of(folder)]
        except BaseException:
            self._discard(data)
            raise
        manifest = canonical(_manifest(draft, files).to_dict())
        digest = _sha256(manifest)
        sidecar = {"data": data, "host": socket.gethostname(), "restart": draft.restart, "time": time.time()}
        # Only if absent: the sidecar of equal bytes may be in use already, and what it points to was whole before it was put.
        placed = self.backend.create(f"artifacts/{place}/{_hex(digest)}.json", canonical(sidecar))
        won = self.backend.create(f"artifacts/{place}/manifest.json", manifest)
        found = self.artifact_of(place, manifest) if won else self._find_at(place)
        if found is None:
            raise BadInput("store.url", "StoreUnavailable", f"{self.url} refused a put if absent of a name that it does not have")
        if not placed or found.digest != digest:
            self._discard(data)
        return found

    def _upload(self, folder: Path, path: str, data: str) -> FileEntry:
        source = folder / path
        self.backend.upload(source, f"{data}/{path}")
        records = _count_lines(source) if path.endswith(".jsonl") else None
        return FileEntry(path=path, size=source.stat().st_size, sha256=_hash_file(source), records=records)

    def _discard(self, data: str) -> None:
        """Give space back; what cannot be removed is litter that no manifest names."""
        try:
            self.backend.remove(data)
        except (BadInput, OSError):
            return

    def artifact_of(self, place: str, manifest: bytes) -> Artifact:
        """Return the artifact that the bytes of a place's manifest commit."""
        return Artifact(uri=f"{self.url}/artifacts/{place}", digest=_sha256(manifest))

    def data_folder(self, artifact: Artifact) -> str:
        """Return where an artifact's files are; raise BadInput when its sidecar is missing or damaged."""
        path = f"{self._path_of(artifact)}/{_hex(artifact.digest)}.json"
        data = self.backend.read(path)
        if data is None:
            raise _damaged(artifact, path.rsplit("/", 1)[1], "missing")
        try:
            return str(json.loads(data)["data"])
        except (ValueError, KeyError, TypeError):
            raise _damaged(artifact, path.rsplit("/", 1)[1], "unreadable") from None

    def _path_of(self, artifact: Artifact) -> str:
        return artifact.uri.removeprefix(self.url + "/")


def open_store(settings: StoreSettings) -> Store:
    """Open the store of a request; an URL that is neither ``file:///…`` nor ``s3://…`` is refused."""
    url = settings.url.rstrip("/")
    if url.startswith("file:///"):
        return Store(FolderBackend(Path(url.removeprefix("file://"))))
    if url.startswith("s3://") and len(url) > len("s3://"):
        return Store(BucketBackend(url, settings.endpoint), settings.endpoint)
    raise BadInput("store.url", "StoreUnavailable", f"found {settings.url!r}; write file:///an/absolute/folder or s3://bucket/prefix")


def _store_of(artifact: Artifact, endpoint: str | None) -> Store:
    """Open the store that an artifact of another store lives in."""
    root, separator, _ = artifact.uri.rpartition("/artifacts/")
    if not separator:
        raise BadInput(artifact.uri, "InputUnavailable", f"is no artifact of a store; {_AGAIN}")
    return open_store(StoreSettings(url=root, endpoint=endpoint))


def _manifest(draft: Draft, files: list[FileEntry]) -> Manifest:
    return Manifest(
        key=draft.key,
        kind=draft.kind,
        stage=draft.stage,
        shard=draft.shard,
        files=files,
        metrics=draft.metrics or {},
        inputs=list(draft.inputs),
    )


def _files_of(folder: Path) -> list[str]:
    """Return the files below a folder in sorted order; anything but plain files and folders is a programming error."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is neither a file nor a folder; an artifact holds nothing else")
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return found


def _damaged(artifact: Artifact, path: str, found: str) -> BadInput:
    return BadInput(f"{artifact.uri}/{path}", "InputUnavailable", f"is damaged ({found}); {_AGAIN}")


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
