"""Programs that tests take from Debian's packages, unpacked into the cache; nothing is installed on the machine."""

import os
import subprocess
import tempfile
from pathlib import Path

from tests.patience import patience

CACHE = Path.home() / ".cache" / "astra"
MISSING = "Debian's package {} could not be fetched: {}; on Debian: apt-get install {}"


class NoPackage(Exception):
    """A package cannot be had; the message is one line and says the mend."""


def program(package: str, name: str) -> Path:
    """Return a program of a package, fetched with apt when it is not in the cache; raises NoPackage."""
    kept = CACHE / package / name
    if not kept.is_file():
        _fetch(package, name, kept)
    return kept


def _fetch(package: str, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for command in (["apt-get", "download", "-q", package], ["sh", "-c", f"dpkg-deb -x {package}_*.deb ."]):
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patience(300))
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NoPackage(MISSING.format(package, error, package)) from None
            if done.returncode:
                said = done.stderr.strip().splitlines()[-1:] or [command[0]]
                raise NoPackage(MISSING.format(package, said[0], package))
        os.replace(Path(folder) / "usr" / "bin" / name, target)
