"""``python -m astra_operator.chartgen write|check [FOLDER]``: FOLDER is the repository's root, the current folder by default."""

import sys
from pathlib import Path

from astra_operator.chartgen.charts import CHARTS, generated


def main(arguments: list[str]) -> int:
    """Write the generated files, or name each one that is not current and return 1."""
    if not arguments or arguments[0] not in ("write", "check") or len(arguments) > 2:
        print("usage: python -m astra_operator.chartgen write|check [FOLDER]", file=sys.stderr)
        return 2
    root = Path(arguments[1] if len(arguments) == 2 else ".")
    wanted = generated((root / "pyproject.toml").read_text())
    if arguments[0] == "write":
        for name, text in wanted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return 0
    stale = [name for name, text in wanted.items() if not (root / name).is_file() or (root / name).read_text() != text]
    owned = [path for chart in CHARTS for pattern in chart.owned for path in sorted((root / "charts" / chart.name).glob(pattern))]
    extra = [str(path) for path in owned if str(path.relative_to(root)) not in wanted]
    for name in stale:
        print(f"{root / name}: differs from the models; run 'make generate'", file=sys.stderr)
    for name in extra:
        print(f"{name}: is not made from the models; remove it", file=sys.stderr)
    return 1 if stale or extra else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
