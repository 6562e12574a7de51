"""Values of secrets that a stage's pod was given, as files: ``FOLDER/NAME/KEY`` (SPEC 1, credentials).

In a cluster the folder is mounted into the pod, on a laptop it is the one that the user keeps. Read when they are needed, never
copied: not into the environment of the job, not into a file.
"""

from pathlib import Path

from astra_jobs.api.errors import BadInput

LONGEST = 65_536
"""Bytes of a value: an environment variable may have no more than twice that."""


class Secrets:
    """Reads ``folder``; called with a name and a key it returns the value, without the line break that editors leave at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, key: str) -> str:
        """Return a value; raises BadInput naming the secret and what is wrong with it, never the value."""
        where = f"secrets/{name}/{key}"
        try:
            data = (self._folder / name / key).read_bytes()
        except OSError as error:
            raise BadInput(where, "SecretUnavailable", f"cannot be read ({error.strerror}); make the Secret and its key") from None
        value = data.removesuffix(b"\n").removesuffix(b"\r")
        if not value or len(value) > LONGEST or b"\0" in value:
            raise BadInput(where, "SecretUnavailable", f"must hold 1 to {LONGEST} bytes and no zero byte; found {len(value)} bytes")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadInput(where, "SecretUnavailable", "is no UTF-8, as the value of an environment variable has to be") from None
