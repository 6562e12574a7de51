"""Where tests get gVisor from: the machine's own ``runsc``, else Debian's package, unpacked into the cache.

Debian's is an old build that knows ptrace and KVM only and has no containerd shim: enough to show how a sandbox behaves
in gVisor, nothing to measure or to protect anybody with.
"""

import shutil
from pathlib import Path

from tests import debian

FLAGS = ("--platform=ptrace", "--ignore-cgroups")


class NoGvisor(Exception):
    """There is no runsc; the message is one line and says the mend."""


def runsc() -> Path:
    """Return the path of runsc, fetched with apt where the machine has none; raises NoGvisor."""
    found = shutil.which("runsc")
    if found is not None:
        return Path(found)
    try:
        return debian.program("runsc", "runsc")
    except debian.NoPackage as error:
        raise NoGvisor(f"gVisor's runsc is not here: {error}") from None


def inside(command: list[str], state: Path, network: str = "none") -> list[str]:
    """Return the command that runs another in gVisor, on an overlay of this machine's files; ``state`` is runsc's own folder.

    ``network`` is "none" (loopback of its own) or "host": this machine's, for which ``do`` would set up a bridge unless it
    is told that it is not root.
    """
    rootless = ["--rootless"] if network == "host" else []
    return [str(runsc()), f"--root={state}", f"--network={network}", *rootless, *FLAGS, "do", *command]
