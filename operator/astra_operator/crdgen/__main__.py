"""``python -m astra_operator.crdgen write|check [FOLDER]``."""

import sys
from pathlib import Path

from astra_operator.crdgen.documents import generated


def main(arguments: list[str]) -> int:
    """Write the generated files, or name each one that is not current and return 1."""
    if not arguments or arguments[0] not in ("write", "check") or len(arguments) > 2:
        print("usage: python -m astra_operator.crdgen write|check [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(arguments[1] if len(arguments) == 2 else "crds")
    wanted = generated()
    present = {path.name: path.read_text() for path in sorted(folder.glob("*")) if path.is_file()}
    if arguments[0] == "write":
        folder.mkdir(exist_ok=True)
        for name, text in wanted.items():
            (folder / name).write_text(text)
        return 0
    stale = [name for name in wanted if present.get(name) != wanted[name]]
    extra = [name for name in present if name not in wanted]
    for name in stale:
        print(f"{folder / name}: differs from the models; run 'make generate'", file=sys.stderr)
    for name in extra:
        print(f"{folder / name}: is not made from the models; remove it", file=sys.stderr)
    return 1 if stale or extra else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
