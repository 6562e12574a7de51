"""The one place where any exception becomes a result with a name, and the only ``except Exception`` of the project.

A JobError says itself what it is. What pydantic refuses is bad input, worded as one line. Anything else is a fault of
the program or of the machine: the innermost line of our own code is named, the trace goes to stderr, and the workload may be
started again within its limits.
"""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from astra_jobs.api.errors import BadInput, JobError, Transient
from astra_jobs.api.invalid import explain
from astra_jobs.api.result import ErrorInfo, JobResult


def boundary(work: Callable[[], JobResult]) -> JobResult:
    """Run ``work`` and return its result, or a failed result that names what it raised."""
    try:
        return work()
    except JobError as error:
        return failed(error)
    except ValidationError as error:
        traceback.print_exc()
        return failed(BadInput("", "BadInput", f"{error.title}: {explain(error, BaseModel)}"))
    except MemoryError:
        traceback.print_exc()
        return failed(Transient("pod.resources.memory", "OutOfMemory", "the job asked for more memory than it may have; raise the limit"))
    except ModuleNotFoundError as error:
        traceback.print_exc()
        return failed(_missing_module(error))
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, it gets a name and an exit code
        traceback.print_exc()
        return failed(Transient(_innermost(error), "Failed", f"{type(error).__name__}: {' '.join(str(error).split())}"))


def failed(error: JobError) -> JobResult:
    """Return the failed result of an error."""
    info = ErrorInfo(where=error.where, reason=error.reason, message=" ".join(error.message.split()))
    return JobResult(outcome="Failed", exit_code=error.exit_code, error=info)


def tell(result: JobResult) -> None:
    """Print a failure as one line on stderr."""
    if result.error is not None:
        where = f"{result.error.where}: " if result.error.where else ""
        print(f"astra-job: {result.error.reason}: {where}{result.error.message}", file=sys.stderr, flush=True)


def _missing_module(error: ModuleNotFoundError) -> JobError:
    name = (error.name or "").split(".")[0]
    if name.startswith("astra_"):
        return Transient(error.name or "", "Failed", str(error))
    mend = "install the extra of astra-on-kubernetes that this stage needs (synthesis, training, s3)"
    return BadInput("pod.image", "BadInput", f"Python module {name} is not installed; {mend}")


def _innermost(error: Exception) -> str:
    """Name file and line of the deepest frame that is ours, else of the deepest."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "astra_jobs" in frame.filename] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
