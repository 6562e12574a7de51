"""Commits in a process of its own, so that tests can kill it with -9 at a chosen step.

committer.py commit URL ENDPOINT KEY FOLDER KILL_AT     one artifact
committer.py journal URL ENDPOINT KEY COUNT KILL_AT     COUNT items, one segment each
committer.py checkpoint URL ENDPOINT KEY FOLDER KILL_AT   three checkpoints
committer.py collect URL ENDPOINT - LIVE KILL_AT          everything that a list of live ones does not name, whatever its age

A step is whatever touches the store: a file operation below its root, or a request to the S3 server. The process dies
just before step KILL_AT (0: never) and prints how many it took when it was not killed.
"""

import os
import signal
import sys
from pathlib import Path

from astra_jobs.api.live import LiveList
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.checkpoints import StoreCheckpoints
from astra_jobs.runtime.collect import collect
from astra_jobs.runtime.journal import StoreJournal
from astra_jobs.runtime.store import Draft, open_store
from astra_jobs.runtime.writer import State

FILE_EVENTS = {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.rmdir"}


class Steps:
    """Counts steps and dies at one of them."""

    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self.kill_at = kill_at

    def take(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(settings: StoreSettings, steps: Steps) -> None:
    root = settings.url.removeprefix("file://")
    if settings.endpoint is None:
        sys.addaudithook(lambda event, args: steps.take() if event in FILE_EVENTS and root in str(args[0]) else None)
        return
    import s3fs

    call = s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, *args: object, **kwargs: object) -> object:
        steps.take()
        return await call(self, *args, **kwargs)

    s3fs.S3FileSystem._call_s3 = counted


def main() -> None:
    what, url, endpoint, key, argument, kill_at = sys.argv[1:]
    settings = StoreSettings(url=url, endpoint=endpoint or None)
    store = open_store(settings)
    steps = Steps(int(kill_at))
    watch(settings, steps)
    state = State(store.backend, f"state/{key}/owner", attempt=1, restart=0)
    if what == "commit":
        store.commit(Draft(key=key, kind="Test", stage="test"), Path(argument))
    elif what == "collect":
        collect(store, LiveList.model_validate_json(Path(argument).read_bytes()), 0.0, remove=True)
    elif what == "journal":
        state.start()
        journal = StoreJournal(state)
        for number in range(int(argument)):
            journal.append({"number": number})
            journal.flush()
            print("durable", number, flush=True)
    else:
        state.start()
        for step in (1, 2, 3):
            StoreCheckpoints(state, Path(argument).parent).save(step, Path(argument))
            print("durable", step, flush=True)
    print("steps", steps.count, flush=True)


main()
