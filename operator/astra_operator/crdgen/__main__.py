"""``python -m astra_operator.crdgen write|check [FOLDER]``."""

import sys
from pathlib import Path

from astra_operator.crdgen.documents import generated
from astra_operator.generated import Generator, run


def _owned(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.is_file()]


def main(arguments: list[str]) -> int:
    """Write the generated files, or name each one that is not current and return 1."""
    return run(Generator("astra_operator.crdgen", "crds", "the models", lambda _: generated(), _owned), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
