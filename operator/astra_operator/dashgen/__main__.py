"""``python -m astra_operator.dashgen write|check [FILE]``."""

import sys
from pathlib import Path

from astra_operator.dashgen.grafana import dashboard

FILE = "charts/astra-operator/files/dashboard.json"


def main(arguments: list[str]) -> int:
    """Write the dashboard, or say that it is not current and return 1."""
    if not arguments or arguments[0] not in ("write", "check") or len(arguments) > 2:
        print("usage: python -m astra_operator.dashgen write|check [FILE]", file=sys.stderr)
        return 2
    file = Path(arguments[1] if len(arguments) == 2 else FILE)
    if arguments[0] == "write":
        file.write_text(dashboard())
        return 0
    if not file.is_file() or file.read_text() != dashboard():
        print(f"{file}: differs from astra_operator.dashgen; run 'make generate'", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
