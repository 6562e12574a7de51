"""What an image would say and bring: its user, and the programs that this machine has not in the same form.

The kubelet's rule for ``runAsNonRoot`` needs the user that an image names. Images are pulled by nobody here, so they stand in a table;
one that is not in it is of root, as most are.
"""

import stat
import sys
from pathlib import Path
from typing import NamedTuple

SHIM = Path(__file__).with_name("nslookup.py")


class ImageUser(NamedTuple):
    """The user of an image as a container runtime tells it: a number, or a name that no kubelet can judge."""

    number: int | None = 0
    name: str = ""


USERS = {
    "alpine": ImageUser(0),
    "astra-jobs": ImageUser(65532),
    "astra-operator": ImageUser(65532),
    "astra-sandbox": ImageUser(65532),
    "by-name": ImageUser(None, "worker"),
}
"""By the image's last name, without registry, tag and digest. Ours are those of the Containerfiles."""


def user_of(image: str) -> ImageUser:
    """Return the user that an image names."""
    return USERS.get(image.partition("@")[0].rpartition("/")[2].partition(":")[0], ImageUser(0))


def programs(folder: Path) -> Path:
    """Return a folder of programs of an alpine image that a Debian has not: nslookup, as busybox has it, asks the pod's DNS server."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "nslookup"
    place.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{SHIM}" "$@"\n')
    place.chmod(place.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder
