"""``astra-job``: process 1 of every pod, on a laptop and in a cluster alike.

    astra-job in/request.json                                          do one stage
    astra-job inspect report --store URL --runs FILE --out report.html   write the report of finished runs
    astra-job inspect logs --store URL --run UID --attempt N             print what an attempt's pods have printed
    astra-job collect --store URL --live FILE [--remove]                 free the store of what no run refers to

Exit code: 0 done, 75 try again, 78 bad input, 85 stopped after a checkpoint. The first form leaves a JobResult of at most
4 KiB in ``result.json`` and its progress in ``progress.json``, both in the working directory. SIGTERM asks the job to
stop (see ``stopping``); SIGUSR1 prints the stacks of all threads to stderr. What the stage prints is kept in the store too (see
``logs``), unless ASTRA_KEEP_LOGS=no says that whoever runs the pod keeps it.
"""

import contextlib
import errno
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.api.result import JobResult
from astra_jobs.runtime import collecting, inspect, logs, stopping, supervise
from astra_jobs.runtime.errors import boundary, failed, tell
from astra_jobs.runtime.progress import FileProgress, serve
from astra_jobs.runtime.stage import Process, read_request, run_stage

USAGE = "astra-job REQUEST.json | astra-job inspect report|logs --store URL ... | astra-job collect --store URL --live FILE ..."
ASKED = {"inspect": inspect.run, "collect": collecting.run}
"""What is done at once, without a request."""
RESULT = Path("result.json")
PROGRESS = Path("progress.json")
OUT = Path("out")
SECRETS = "secrets"
INHERITED = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "ASTRA_POD_UID")
"""What tool servers get of the environment beside PATH, HOME and their like: nothing that may hold a credential.

By the last one a laptop finds what a pod has left behind.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in {"-h", "--help"}:
        print(f"usage: {USAGE}")
        return 0
    if given and given[0] in ASKED:
        result = boundary(lambda: ASKED[given[0]](given[1:]))
        tell(result)
        return result.exit_code
    if arguments is None and (code := _watched(given, os.environ)) is not None:
        return code
    steps: list[int] = []
    with stopping.told_to_stop(lambda: _give_up(steps)) as stop:
        result = boundary(lambda: _stage(given, os.environ, steps, stop))
    return _end(result, steps)


def _watched(given: list[str], environment: Mapping[str, str]) -> int | None:
    """Let a second process keep the log of a stage: return None in the one that does the work, the exit code in the other.

    Whatever is wrong with the request or the environment is for the stage itself to refuse; then nothing is kept.
    """
    index = environment.get("JOB_COMPLETION_INDEX") or environment.get("RANK") or "0"
    if environment.get("ASTRA_KEEP_LOGS", "yes") != "yes" or len(given) != 1 or not index.isdecimal():
        return None
    try:
        place = logs.place_of(read_request(Path(given[0])), int(index))
    except BadInput:
        return None
    keeper = logs.Keeper(place, lambda line: print(line, file=sys.stderr, flush=True))
    code = supervise.supervise(keeper.add)
    if code is not None:
        keeper.close()
    return code


def _end(result: JobResult, steps: list[int]) -> int:
    """Say how the stage ended, on stderr and in the result; return the exit code."""
    tell(result)
    _leave(result.model_copy(update={"checkpoint": steps[-1]}) if steps else result)
    return result.exit_code


def _give_up(steps: list[int]) -> None:
    """End a process whose main thread did not hear SIGTERM; its workload goes on from the last checkpoint."""
    message = f"told to stop, but stuck in a library for {stopping.STUCK_SECONDS:g} s (its stacks are in the log); it is started again"
    os._exit(_end(failed(Transient("", "Failed", message)), steps))


def _stage(given: list[str], environment: Mapping[str, str], steps: list[int], should_stop: Callable[[], bool]) -> JobResult:
    if len(given) != 1 or given[0].startswith("-"):
        raise BadInput("astra-job", "BadInput", f"found arguments {given}; usage: {USAGE}")
    if environment.get("ASTRA_KEEP_LOGS", "yes") not in {"yes", "no"}:
        raise BadInput("ASTRA_KEEP_LOGS", "BadInput", f"found {environment['ASTRA_KEEP_LOGS']!r} in the environment; write yes or no")
    faulthandler.register(signal.SIGUSR1)
    process = Process(
        folder=OUT.absolute(),
        shard=_number(environment, "JOB_COMPLETION_INDEX", 0),
        rank=_number(environment, "RANK", 0),
        world=_number(environment, "WORLD_SIZE", 1),
        should_stop=should_stop,
        commands=Path(environment.get("ASTRA_COMMANDS") or "."),
        inherited={name: environment[name] for name in INHERITED if name in environment},
        secrets=Path(environment.get("ASTRA_SECRETS") or SECRETS),
        steps=steps,
    )
    progress = FileProgress(PROGRESS.absolute())
    with _served(progress, environment):
        progress.write()
        return run_stage(read_request(Path(given[0])), process, progress)


@contextlib.contextmanager
def _served(progress: FileProgress, environment: Mapping[str, str]) -> Iterator[None]:
    """Serve progress where the pod says so: on ASTRA_PROGRESS_PORT of ASTRA_POD_IP, or of every address."""
    if not environment.get("ASTRA_PROGRESS_PORT"):
        yield
        return
    address = environment.get("ASTRA_POD_IP", "") or "0.0.0.0"  # noqa: S104 - a pod's port is closed by policy, not by address
    server = serve(progress, address, _number(environment, "ASTRA_PROGRESS_PORT", 0))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "") or str(default)
    if not text.isdecimal():
        raise BadInput(name, "BadInput", f"found {text!r} in the environment; set a whole number")
    return int(text)


def _leave(result: JobResult) -> None:
    """Write the result in one step. A termination message is mounted over the name, and then it is written in place."""
    data = result.encode()
    temporary = RESULT.with_suffix(".tmp")
    try:
        temporary.write_bytes(data)
        try:
            temporary.replace(RESULT)
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.EXDEV}:
                raise
            RESULT.write_bytes(data)
            temporary.unlink()
    except OSError as error:
        print(f"astra-job: cannot write {RESULT.absolute()}: {error.strerror}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
