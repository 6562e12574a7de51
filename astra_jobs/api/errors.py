"""Why a job ends: one tree of errors, each with the exit code that tells the operator what to do next.

    JobError            (where, reason, message)
    ├── BadInput        78  the spec, an input or an artifact is wrong: never retried
    ├── Transient       75  the world failed (store, network, server): the workload is restarted
    └── Preempted       85  told to stop, a checkpoint was committed

A message is one line that names the field or file, the value found and the mend.
"""

EXIT_OK, EXIT_TRANSIENT, EXIT_BAD_INPUT, EXIT_PREEMPTED = 0, 75, 78, 85


class JobError(Exception):
    """A failure with a name. ``where`` is a spec field or a file, ``reason`` a PascalCase word for the condition."""

    exit_code = EXIT_TRANSIENT

    def __init__(self, where: str, reason: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.reason = reason
        self.message = message


class BadInput(JobError):
    """The request can never succeed as it stands; somebody has to change it."""

    exit_code = EXIT_BAD_INPUT


class Transient(JobError):
    """The same request may succeed when tried again; committed work is kept."""

    exit_code = EXIT_TRANSIENT


class Preempted(JobError):
    """The job was told to stop and left a checkpoint behind."""

    exit_code = EXIT_PREEMPTED
