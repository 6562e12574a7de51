"""What the command line takes from its environment; the only place that reads it.

Pods do not inherit everything: a run must not depend on a stray variable of somebody's shell. They get what finds
programs, homes, certificates and proxies, and the credentials of stores.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_NAMES = frozenset(
    ("HOME", "LANG", "TMPDIR", "TZ", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HF_HOME", "HF_HUB_OFFLINE")
)
_PREFIXES = ("LC_", "AWS_")
_PROXIES = frozenset(("http_proxy", "https_proxy", "no_proxy", "all_proxy"))


def pod_environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what every pod on this machine inherits.

    The interpreter's own folder comes first on PATH, so that tool servers installed beside ``astra`` are found whether or
    not its virtual environment is active. One thread a process: the machine's cores are given out by requests. Logs stay in the
    state folder, so that pods need not keep them in the store.
    """
    given = os.environ if source is None else source
    kept = {name: value for name, value in given.items() if name in _NAMES or name.startswith(_PREFIXES) or name.lower() in _PROXIES}
    # Not resolved: a virtual environment's python is a link, and its folder is what holds the installed programs.
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, *(part for part in given.get("PATH", os.defpath).split(os.pathsep) if part != programs)])
    own = {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "ASTRA_KEEP_LOGS": "no"}
    return kept | own


def plain_output(source: Mapping[str, str] | None = None) -> bool:
    """Tell if the user or the terminal asks for no colours and no moving lines."""
    given = os.environ if source is None else source
    return bool(given.get("NO_COLOR")) or given.get("TERM") == "dumb" or bool(given.get("CI"))
