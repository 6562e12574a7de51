"""How a tool's exception is told: as Python tells it, with the line of the tool's source, and with the policy where one was met.

A message that the tool raises itself is left as it is. Nothing here trusts the exception: its class, its text and its
traceback are the tool's.
"""

import opcode
from errno import EACCES, EPERM
from types import CodeType, TracebackType

from astra_jobs.sandbox.inside.encode import Unfit
from astra_jobs.sandbox.inside.policy import import_refusal, of_calls, refusal

MESSAGE = 300
"""Longest error message, characters."""
NOTE = 240
"""Longest addition to it."""
_RAISE, _EXTENDED = opcode.opmap["RAISE_VARARGS"], opcode.EXTENDED_ARG
_NAMED = frozenset(opcode.hasname)
_SHIFTED = opcode.opmap.get("LOAD_GLOBAL")
"""Its argument counts in halves: the lowest bit says something else."""


def describe(error: BaseException, file: str = "") -> bytes:
    """Return type, message and remedy of an exception that a tool of a file raised, whatever its ``__str__`` does."""
    if type(error) is Unfit:
        return str(error)[: MESSAGE + NOTE].encode("utf-8", "replace")
    try:
        name = type(error).__name__[:MESSAGE]
    except BaseException:  # noqa: BLE001 - a hostile metaclass
        name = "Exception"
    try:
        text = str(error)[:MESSAGE]
    except BaseException:  # noqa: BLE001 - the tool's exception class may raise anything from __str__
        text = "(no message)"
    try:
        note = _note(error, file)[:NOTE] if file else ""
    except BaseException:  # noqa: BLE001 - a traceback, or a class of an exception, that is not what it says
        note = ""
    return (f"{name}: {text}" if text or not note else name)[:MESSAGE].encode("utf-8", "replace") + note.encode("utf-8", "replace")


def _note(error: BaseException, file: str) -> str:
    """Return what is added: the line, unless the tool raised the error by its own words, and the policy."""
    line, names = _place(error.__traceback__, file)
    if not line:
        return ""
    policy = _policy(error, names)
    return f" (line {line}: {policy})" if policy else f" (line {line})"


def _place(trace: TracebackType | None, file: str) -> tuple[int, list[str]]:
    """Return the innermost line of a file that an error came through, 0 where the file itself raised it, and the names that it uses."""
    last = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            last = trace
        trace = trace.tb_next
    if last is None:
        return 0, []
    code, at = last.tb_frame.f_code, last.tb_lasti
    if code.co_code[at] == _RAISE and last.tb_next is None:
        return 0, []
    return last.tb_lineno or 0, _names(code, last.tb_lineno)


def _names(code: CodeType, line: int | None) -> list[str]:
    """Return the names that the instructions of a line use, in their order."""
    names, raw, extended = [], code.co_code, 0
    for (operation, argument), position in zip(zip(raw[::2], raw[1::2], strict=True), code.co_positions(), strict=False):
        argument |= extended
        extended = argument << 8 if operation == _EXTENDED else 0
        if operation in _NAMED and position[0] == line:
            names.append(code.co_names[argument >> 1 if operation == _SHIFTED else argument])
    return names


def _policy(error: BaseException, names: list[str]) -> str:
    """Return the sentence about the policy that an error comes from, where it comes from one."""
    kind = type(error)
    if issubclass(kind, ModuleNotFoundError) and error.name:  # type: ignore[attr-defined]
        return import_refusal(error.name)  # type: ignore[attr-defined]
    if issubclass(kind, OSError) and error.errno in (EPERM, EACCES):  # type: ignore[attr-defined]
        known = of_calls(names)
        if error.filename is not None and (known is None or known[1] != "processes"):  # type: ignore[attr-defined]
            return refusal(known[0] if known and known[1] == "files" else "looking up a file", "files")
        return refusal(*known) if known else "refused: tools have no files, network, processes, threads and signals; remove it"
    if kind is RuntimeError and str(error) == "can't start new thread":
        return refusal("a thread", "threads")
    if kind is LookupError and "unknown encoding: " in str(error):
        return refusal("it", "codecs")
    if kind is EOFError and "input" in names:
        return refusal("input", "terminal")
    return ""
