"""The battery as a program: ``python -m tests.attacks.run``; needs the repository and its environment, nothing else.

As root on Linux it makes a place of its own first. ``--here`` says that this machine is such a place already: gVisor.
Exit code 1 where a wall did not hold or a control did not succeed.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.attacks import place
from tests.attacks.attack import GROUPS, Attack
from tests.attacks.battery import LIMITS, Battery, Verdict
from tests.attacks.catalogue.everything import ATTACKS
from tests.attacks.scene import CANARY, Scene
from tests.attacks.weapons import spin

VARIANTS = ("own", "shared")


def options(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.run", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a group or an attack; may be repeated")
    parser.add_argument("--without-controls", action="store_true", help="walls up only")
    parser.add_argument("--only-controls", action="store_true", help="walls off only")
    parser.add_argument("--variant", choices=VARIANTS, default="own", help="own: as root, a user a session; shared: as nobody")
    parser.add_argument("--here", action="store_true", help="make no namespaces: this machine is the attacks' own")
    parser.add_argument("--json", action="store_true", help="one line of JSON a run, and one at the end")
    return parser.parse_args(words)


def chosen(names: list[str]) -> list[Attack]:
    """Return the attacks of groups and names."""
    unknown = set(names) - set(GROUPS) - set(ATTACKS)
    if unknown:
        sys.exit(f"no group or attack is called {', '.join(sorted(unknown))}; groups are {', '.join(GROUPS)}")
    return [attack for attack in ATTACKS.values() if not names or {attack.name, attack.group} & set(names)]


def with_control(attack: Attack, variant: str, *, gvisor: bool) -> bool:
    """Tell whether an attack can succeed here at all when its walls are off."""
    return bool(attack.walls) and not (attack.root and variant == "shared") and not (gvisor and attack.native)


def in_gvisor() -> bool:
    """Tell whether the kernel is gVisor's: it says so in the version that it gives."""
    return "2016" in platform.version() and platform.release().startswith("4.4.0")


def rounds() -> int:
    """Return how many rounds of ``spin`` take about two CPU limits; enough to be seen where that limit is off."""
    started = time.process_time()
    spin(1_000_000)
    return int(2e6 * LIMITS.seconds / max(1e-3, time.process_time() - started))


async def battle(wanted: argparse.Namespace, folder: Path) -> list[Verdict]:
    """Run what is wanted and return all verdicts."""
    scene = Scene(folder / "outside")
    gvisor = in_gvisor()
    attacks = chosen(wanted.only)
    battery = Battery(scene, wanted.variant, {"rounds": rounds(), "pause": 6 * LIMITS.seconds + 1})
    try:
        if not wanted.only_controls:
            await battery.defended(attacks)
        if not wanted.without_controls:
            await battery.controls([attack for attack in attacks if with_control(attack, wanted.variant, gvisor=gvisor)])
    finally:
        scene.close()
    return battery.verdicts


def tell(verdicts: list[Verdict], seconds: float, *, as_json: bool) -> int:
    """Print what there is to say; return the exit code."""
    bad = [verdict for verdict in verdicts if verdict.faults]
    if as_json:
        for verdict in verdicts:
            print(json.dumps(verdict.row()))
        print(json.dumps({"runs": len(verdicts), "faults": len(bad), "seconds": round(seconds, 1)}))
    else:
        for verdict in bad:
            print(
                f"{verdict.group}/{verdict.attack}, {verdict.run}: {'; '.join(verdict.faults)} [{verdict.outcome} {verdict.text[:100]!r}]"
            )
        print(f"{len(verdicts)} runs of {len({verdict.attack for verdict in verdicts})} attacks, {len(bad)} with faults, {seconds:.1f} s")
    return 1 if bad else 0


def main() -> None:
    """Make the place, then run."""
    wanted = options(sys.argv[1:])
    if CANARY not in os.environ:  # a secret that the supervisor was started with, and nothing else of this machine
        again = [sys.executable, "-m", "tests.attacks.run", "--here", *sys.argv[1:]]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", CANARY: os.urandom(16).hex()}
        place.enter(again, environment) if not wanted.here else os.execve(sys.executable, again, environment)
    if os.geteuid() == 0:
        place.furnish()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        if wanted.variant == "shared" and os.geteuid() == 0:
            place.become_nobody(Path(name))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        started = time.monotonic()
        verdicts = asyncio.run(battle(wanted, Path(name)))
        code = tell(verdicts, time.monotonic() - started, as_json=wanted.json)
    sys.exit(code)


if __name__ == "__main__":
    main()
