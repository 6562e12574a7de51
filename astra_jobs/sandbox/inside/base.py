"""The base zygote: exec'd, never forked from the asyncio process; imports once and forks a zygote an environment.

The standard library only, so that it stays small and a fork copies few pages. It lowers itself before its first fork:
capabilities, no new privileges, the zygotes' filter. Its only argument is the settings as JSON.
"""

import os


def _forget(**_: object) -> None:
    """Take a module's wish to run code in every forked child, and drop it."""


# Before anything imports ``random`` or ``threading``: their hooks touch some 150 pages in each child, which is most of a
# fork's cost. Zygotes have one thread, and sessions seed ``random`` themselves.
os.register_at_fork = _forget

import gc  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from typing import Any  # noqa: E402

from astra_jobs.sandbox.inside import environment, identity, limits, rehearsal, seccomp, waits  # noqa: E402
from astra_jobs.sandbox.inside.clock import Chance, Clock  # noqa: E402
from astra_jobs.sandbox.inside.forker import Forker, address_space  # noqa: E402
from astra_jobs.sandbox.inside.frames import FAILED, HELLO  # noqa: E402
from astra_jobs.sandbox.inside.library import Library  # noqa: E402
from astra_jobs.sandbox.inside.modules import WARM  # noqa: E402


class Base(Forker):
    """Forks environment zygotes; a child gets its control socket and a file with its tools."""

    def __init__(self, control: socket.socket, settings: dict[str, Any], clock: Clock, chance: Chance, library: Library) -> None:
        super().__init__(control)
        self.settings = settings
        self.clock = clock
        self.chance = chance
        self.library = library

    def child(self, value: int, user: int, descriptors: list[int]) -> None:
        """Become an environment zygote."""
        self.control.close()
        os.close(self.woken)
        os.close(self.waker)
        limits.die_with(self.pid)
        environment.main(descriptors[0], descriptors[1], self)


def warm() -> None:
    """Import what most sessions use, and what the restrictions are proven with."""
    for name in WARM:
        importlib.import_module(name)
    "".encode("idna")
    warnings.simplefilter("ignore")


def main() -> None:
    """Warm the interpreter, lower its rights, and serve the control socket."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    chance, clock = Chance(), Clock(settings["epoch"])
    clock.install()  # before modules bind its functions; nothing in a zygote asks for the time
    warm()
    library = Library(settings["zones"], clock)
    sys.argv[:] = [""]
    os.environ.clear()  # noqa: TID251 - nothing of it is read; sessions shall find it empty
    chance.install()
    identity.install(clock.read_seconds)
    waits.install(clock)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a session that spent its CPU time; set once, inherited by all
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle; it closes the socket
    base = Base(control, settings, clock, chance, library)
    try:
        lower(settings)
    except OSError as error:
        base.send(FAILED, 0, error.errno or 0)
        return
    size = address_space()
    rehearsal.rehearse(settings, chance, clock)
    gc.collect()
    gc.freeze()
    base.send(HELLO, 0, size)
    base.run()


def lower(settings: dict[str, Any]) -> None:
    """Give up rights for good; OSError where the system has no such filter."""
    settings["filter"] = seccomp.Filter(seccomp.program(settings["walls"], zygote=False))
    limits.adopt()
    if settings["walls"]["privileges"]:
        limits.bound_capabilities()
    seccomp.Filter(seccomp.program(settings["walls"], zygote=True)).install()
    if settings["walls"]["dumpable"]:
        limits.hide()


if __name__ == "__main__":
    main()
