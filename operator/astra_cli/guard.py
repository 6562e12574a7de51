"""How every command ends: one line for what went wrong, and an exit code, never a trace for what a person can mend."""

import os
import sys
from collections.abc import Callable

from astra_jobs.api.errors import EXIT_BAD_INPUT, BadInput


def guarded(program: str, work: Callable[[], int]) -> int:
    """Do the work and return its exit code: 78 for bad input, 1 for a machine or a reader of the output that fails."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        # Whoever read the output has enough of it; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{program}: {error.filename or 'machine'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
