"""Files that are made from models and kept in the repository: written anew, or compared with what is there."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class Generator(NamedTuple):
    """A program ``python -m NAME write|check [FOLDER]``. Paths are relative to the folder."""

    name: str
    folder: str
    """Where the files are unless it is said."""
    source: str
    """What they are made from, as a person is told."""
    files: Callable[[Path], Mapping[str, str]]
    """Folder → path → text."""
    owned: Callable[[Path], Iterable[Path]]
    """Folder → files there that nobody else makes, so that one that is no longer made is found."""


def run(generator: Generator, arguments: list[str]) -> int:
    """Write the generated files, or name each one that is not current and return 1."""
    if not arguments or arguments[0] not in ("write", "check") or len(arguments) > 2:
        print(f"usage: python -m {generator.name} write|check [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(arguments[1] if len(arguments) == 2 else generator.folder)
    wanted = generator.files(folder)
    if arguments[0] == "write":
        for name, text in wanted.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return 0
    stale = [name for name, text in wanted.items() if not (folder / name).is_file() or (folder / name).read_text() != text]
    extra = [path for path in generator.owned(folder) if path.relative_to(folder).as_posix() not in wanted]
    for name in stale:
        print(f"{folder / name}: differs from {generator.source}; run 'make generate'", file=sys.stderr)
    for path in extra:
        print(f"{path}: is not made from {generator.source}; remove it", file=sys.stderr)
    return 1 if stale or extra else 0
