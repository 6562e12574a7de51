"""Reading and writing records as JSON Lines; a damaged line is named by file and number."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from astra_jobs.api.base import Model, as_declared
from astra_jobs.api.errors import BadInput

RecordT = TypeVar("RecordT", bound=Model)


def write_lines(path: Path, records: Iterable[Model]) -> int:
    """Write records, one a line, fields and keys in the order in which they are; return how many.

    Raises BadInput with file and line for a record that JSON cannot hold: half a surrogate pair, NaN, endless nesting.
    """
    count = 0
    with path.open("wb") as file:
        for record in records:
            try:
                line = as_declared(record.to_dict())
            except (ValueError, RecursionError) as error:
                why = " ".join(str(error).split())[:200]
                raise BadInput(f"{path.name}:{count + 1}", "BadInput", f"a {type(record).__name__} has no JSON form: {why}") from None
            file.write(line + b"\n")
            count += 1
    return count


def read_lines(path: Path, record_type: type[RecordT]) -> Iterator[RecordT]:
    """Yield the records of a file; raise BadInput with file and line for anything that is not one."""
    if not path.exists():
        raise BadInput(path.name, "InputUnavailable", "the file is missing from the artifact; run what made it again")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield record_type.model_validate_json(line, by_alias=True, by_name=False)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"]))
                raise BadInput(
                    f"{path.name}:{number}", "InputUnavailable", f"not a {record_type.__name__}: {field}: {first['msg']}"
                ) from None
