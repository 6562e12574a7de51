"""Where tests get gVisor from: the machine's own ``runsc``, else Debian's package, unpacked into the cache.

Debian's is an old build that knows ptrace and KVM only and has no containerd shim: enough to show how a sandbox behaves
in gVisor, nothing to measure or to protect anybody with.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path.home() / ".cache" / "astra" / "gvisor"
FLAGS = ("--platform=ptrace", "--ignore-cgroups")
MISSING = "gVisor's runsc is not here and could not be fetched: {}; on Debian: apt-get install runsc"


class NoGvisor(Exception):
    """There is no runsc; the message is one line and says the mend."""


def runsc() -> Path:
    """Return the path of runsc, fetched with apt where the machine has none; raises NoGvisor."""
    found = shutil.which("runsc")
    if found is not None:
        return Path(found)
    kept = CACHE / "runsc"
    if not kept.is_file():
        _fetch(kept)
    return kept


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for command in (["apt-get", "download", "-q", "runsc"], ["sh", "-c", "dpkg-deb -x runsc_*.deb ."]):
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NoGvisor(MISSING.format(error)) from None
            if done.returncode:
                raise NoGvisor(MISSING.format(done.stderr.strip().splitlines()[-1:] or command[0]))
        os.replace(Path(folder) / "usr" / "bin" / "runsc", target)


def inside(command: list[str], state: Path, network: str = "none") -> list[str]:
    """Return the command that runs another in gVisor, on an overlay of this machine's files; ``state`` is runsc's own folder.

    ``network`` is "none" (loopback of its own) or "host": this machine's, for which ``do`` would set up a bridge unless it
    is told that it is not root.
    """
    rootless = ["--rootless"] if network == "host" else []
    return [str(runsc()), f"--root={state}", f"--network={network}", *rootless, *FLAGS, "do", *command]
