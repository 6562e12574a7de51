"""How long tests wait before they give up. How fast a machine is decides about no test: deadlines are there to end what hangs.

Every deadline of a test goes through here: two minutes at least, five times what an idle machine may need, and all of that times
``ASTRA_TEST_PATIENCE`` (default 1; more on a machine that many share). Speeds are measured under the marker ``bench`` and asserted nowhere
else; that something lasted at least so long may be asserted anywhere.
"""

import os

FACTOR = float(os.environ.get("ASTRA_TEST_PATIENCE", "1"))
SHORTEST, SLACK = 120.0, 5


def patience(seconds: float = 0.0) -> float:
    """Return a deadline, in seconds, for what an idle machine may need ``seconds`` for."""
    return max(SHORTEST, SLACK * seconds) * FACTOR
