"""Every exception gets a name, an exit code and one line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from astra_jobs.api.errors import BadInput, Preempted, Transient
from astra_jobs.api.result import JobResult
from astra_jobs.api.v1alpha1 import ToolCorpusSpec
from astra_jobs.runtime.errors import boundary, tell


def raising(error: BaseException) -> Callable[[], JobResult]:
    def work() -> JobResult:
        raise error

    return work


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as found:
        ToolCorpusSpec.model_validate({"sources": [], "seed": 1})
    return found.value


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (BadInput("spec.seed", "BadInput", "wrong"), 78, "BadInput"),
        (Transient("store.url", "StoreUnavailable", "gone"), 75, "StoreUnavailable"),
        (Preempted("", "Suspended", "stopped"), 85, "Suspended"),
        (invalid(), 78, "BadInput"),
        (MemoryError(), 75, "OutOfMemory"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 78, "BadInput"),
        (ModuleNotFoundError("No module named 'astra_jobs.x'", name="astra_jobs.x"), 75, "Failed"),
        (ZeroDivisionError("division by zero"), 75, "Failed"),
        (OSError(28, "No space left on device"), 75, "Failed"),
    ],
)
def test_exit_codes(error: BaseException, code: int, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = boundary(raising(error))
    assert (result.outcome, result.exit_code) == ("Failed", code)
    assert result.error is not None
    assert result.error.reason == reason
    assert "\n" not in result.error.message
    capfd.readouterr()
    tell(result)
    assert capfd.readouterr().err.count("\n") == 1


def test_an_unknown_failure_names_its_line() -> None:
    result = boundary(raising(ValueError("two\nlines")))
    assert result.error is not None
    assert result.error.where.startswith("errors.py:")
    assert result.error.message == "ValueError: two lines"


def test_a_keyboard_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        boundary(raising(KeyboardInterrupt()))


def test_the_job_and_the_sandbox_server_have_the_only_blind_excepts_of_the_project() -> None:
    root = Path(__file__).parents[3]
    files = [path for folder in ("astra_jobs", "operator") for path in (root / folder).rglob("*.py")]
    caught = re.compile(r"(?<!``)except Exception|isinstance\(error, Exception\)")
    blind = [path.relative_to(root).as_posix() for path in files if caught.search(path.read_text())]
    assert sorted(blind) == ["astra_jobs/runtime/errors.py", "astra_jobs/sandbox/server/exchange.py"]
