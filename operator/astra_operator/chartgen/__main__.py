"""``python -m astra_operator.chartgen write|check [FOLDER]``: FOLDER is the repository's root, the current folder by default."""

import sys
from pathlib import Path

from astra_operator.chartgen.charts import CHARTS, generated
from astra_operator.generated import Generator, run


def _files(root: Path) -> dict[str, str]:
    return generated((root / "pyproject.toml").read_text())


def _owned(root: Path) -> list[Path]:
    return [path for chart in CHARTS for pattern in chart.owned for path in sorted((root / "charts" / chart.name).glob(pattern))]


def main(arguments: list[str]) -> int:
    """Write the generated files, or name each one that is not current and return 1."""
    return run(Generator("astra_operator.chartgen", ".", "the models", _files, _owned), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
