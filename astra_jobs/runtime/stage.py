"""One stage from request to result: look-up, inputs, context, the job function, commit (DESIGN 4, step 8)."""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from astra_jobs.api.errors import BadInput, JobError
from astra_jobs.api.invalid import explain
from astra_jobs.api.job import Inputs, JobContext
from astra_jobs.api.request import Input, StageRequest
from astra_jobs.api.result import JobResult
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.runtime import jobs
from astra_jobs.runtime.checkpoints import StoreCheckpoints
from astra_jobs.runtime.journal import StoreJournal
from astra_jobs.runtime.progress import FileProgress
from astra_jobs.runtime.secrets import Secrets
from astra_jobs.runtime.shared import StoreShared, strings
from astra_jobs.runtime.store import Draft, Store, open_store
from astra_jobs.runtime.writer import State, state_of


@dataclass(frozen=True)
class Process:
    """What this process is told by its pod: which shard, which rank of how many, where to work, when to stop.

    ``commands`` is the folder in which commands of the spec start, ``inherited`` what they get of the environment, ``secrets`` the
    folder that holds the secrets to which the spec refers.
    """

    folder: Path
    shard: int = 0
    rank: int = 0
    world: int = 1
    should_stop: Callable[[], bool] = lambda: False
    commands: Path = Path()
    inherited: Mapping[str, str] = field(default_factory=dict)
    secrets: Path = Path("secrets")
    steps: list[int] = field(default_factory=list)
    """Steps of the checkpoints that this process found or committed, oldest first; read after a failure too."""

    @property
    def commits(self) -> bool:
        """Whether this process writes for its workload."""
        return self.rank == 0


def read_request(path: Path) -> StageRequest:
    """Read and check a request and the spec in it; refuse with file, field, value and mend."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(str(path), "BadInput", f"cannot be read ({error.strerror}); give the path of a request file") from None
    try:
        request = StageRequest.model_validate_json(data)
    except ValidationError as error:
        raise BadInput(str(path), "BadInput", str(explain(error, StageRequest))) from None
    spec = MODELS[request.kind].model_fields["spec"].annotation
    try:
        spec.model_validate(request.spec)  # type: ignore[union-attr]
    except ValidationError as error:
        raise BadInput(str(path), "BadInput", f"spec.{explain(error, spec)}") from None  # type: ignore[arg-type]
    return request


def run_stage(request: StageRequest, process: Process, progress: FileProgress) -> JobResult:
    """Do a stage unless the store has its artifact; raise JobError, or whatever the job raises."""
    if not 0 <= process.shard < request.shards:
        raise BadInput(
            "JOB_COMPLETION_INDEX", "BadInput", f"found {process.shard}; the request has {request.shards} shards, counted from 0"
        )
    store = open_store(request.store)
    key = request.key(process.shard)
    if process.commits:
        store.enter(request.namespace)
    artifact = store.claim(key)
    if artifact is not None:
        return JobResult(outcome="Succeeded", artifact=artifact, reused=True, metrics=store.manifest(artifact).metrics)
    jobs.check_isolation(request)
    state = state_of(store.backend, request, process.shard)
    if process.commits:
        state.start()
    _empty(process.folder)
    shared = StoreShared(store, process.folder / "shared")
    metrics = _execute(request, process, progress, shared, state)
    if not process.commits:
        return JobResult(outcome="Succeeded")
    state.check()
    inputs = tuple(item.artifact.digest for item in [*request.inputs, *request.previous]) + tuple(sorted(shared.taken))
    draft = Draft(key, request.kind, request.stage, process.shard, metrics, inputs, request.restart)
    artifact = store.commit(draft, process.folder / "artifact")
    state.clear()
    return JobResult(outcome="Succeeded", artifact=artifact, metrics=metrics)


def _execute(request: StageRequest, process: Process, progress: FileProgress, shared: StoreShared, state: State) -> dict[str, str]:
    """Fetch the inputs and call the job function; its files are in ``artifact`` afterwards."""
    function = jobs.load(request.kind, request.stage)
    folders = {name: process.folder / name for name in ("artifact", "scratch", "checkpoints", "shared")}
    for folder in folders.values():
        folder.mkdir()
    journal = StoreJournal(state)
    context = JobContext(
        seed=int(request.spec.get("seed", 0)),
        shard=process.shard,
        progress=progress,
        journal=journal,
        checkpoints=StoreCheckpoints(state, folders["checkpoints"], process.steps.append),
        shared=shared,
        scratch=folders["scratch"],
        rank=process.rank,
        world=process.world,
        should_stop=process.should_stop,
        folder=process.commands.absolute(),
        inherited=process.inherited,
        secret=Secrets(process.secrets),
    )
    inputs = Inputs(
        folders=_fetch(shared.store, request.inputs, process.folder / "inputs"),
        stages=_fetch(shared.store, request.previous, process.folder / "stages"),
    )
    try:
        metrics = function(request, inputs, folders["artifact"], context)
    except BaseException:
        # The job's own failure is the one to report, also when the journal cannot be closed any more.
        with contextlib.suppress(JobError, OSError, RuntimeError):
            journal.close()
        raise
    journal.close()
    return strings(metrics)


def _fetch(store: Store, inputs: list[Input], folder: Path) -> dict[str, Path]:
    """Fetch inputs by role; a damaged one is refused with its role and the run that made it."""
    found = {}
    for item in inputs:
        try:
            found[item.role] = store.fetch(item.artifact, folder / item.role)
        except BadInput as error:
            message = f"input {item.role} from {item.kind}/{item.name}, {error.where}: {error.message}"
            raise BadInput(f"inputs.{item.role}", error.reason, message) from None
    return found


def _empty(folder: Path) -> None:
    """Make ``folder`` exist and be empty; it may be a mounted volume, so it is not itself removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
