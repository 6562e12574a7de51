"""What tools may not do, by the name of the policy that forbids it, with the reason and the remedy in one line.

The static gate of synthesis refuses by these words before anything runs; a session adds them to the error of what it
refused. They decide nothing there: the filters and limits of the process do.
"""

from astra_jobs.sandbox.inside.modules import IMPORTABLE, PARTLY, REFUSED

POLICIES: dict[str, tuple[str, str]] = {
    "imports": ("tools have the standard library only", "write it with that"),
    "network": ("tools have no network", "remove it and keep the data in the source"),
    "files": ("tools have no files", "keep the data in the source, as a dict or a text read through io.StringIO"),
    "processes": ("tools start and ask about no processes", "call a function instead"),
    "threads": ("tools have one thread", "run the parts one after the other, or with asyncio"),
    "signals": ("tools neither send nor handle signals", "remove it"),
    "determinism": ("it has a clock and a source of chance of its own, so that calls do not repeat", "use lists, dicts and random"),
    "interpreter": ("tools do not reach into the interpreter", "use plain functions, classes and data"),
    "dynamicCode": ("tools run no code but their source", "use json, ast.literal_eval or a dict of functions"),
    "exit": ("a tool ends by returning or raising", "raise an exception instead"),
    "codecs": ("sessions read no files, and load the codecs that the source names", "name the encoding in the source"),
    "terminal": ("nobody answers a tool", "take an argument of the function"),
    "size": ("a tool's source is bounded", "keep the rows that the tool needs"),
    "syntax": ("the source is Python 3.11", "correct it"),
    "function": ("a tool is one function of its name at the top of its source", "define it there once, with def"),
    "signature": ("arguments are passed by keyword and are those of the schema", "name each of them, with a default where it is optional"),
}
"""Policy → (reason, remedy)."""
CALLS: dict[str, tuple[str, ...]] = {
    "network": ("socket", "socketpair", "create_connection", "create_server", "getaddrinfo", "gethostbyname", "connect", "bind", "urlopen"),
    "processes": ("fork", "system", "popen", "Popen", "run", "check_output", "check_call", "execv", "execve", "posix_spawn"),
    "signals": ("kill", "killpg", "raise_signal", "pthread_kill", "alarm", "signal"),
    "files": (
        "open", "listdir", "scandir", "stat", "lstat", "mkdir", "makedirs", "remove", "unlink", "rename", "getcwd", "chdir", "walk", "glob",
        "iterdir", "read_text", "write_text", "read_bytes", "write_bytes", "abspath", "realpath", "resolve", "cwd", "exists", "access",
        "TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory", "mkstemp", "mkdtemp", "copy", "move", "touch", "rmdir",
    ),
}  # fmt: skip
"""Policy → names of functions that meet it at run time."""
_REST = {
    "os": "processes", "os.path": "files", "posixpath": "files", "pathlib": "files", "io": "files", "sys": "interpreter",
    "threading": "threads", "inspect": "interpreter",
}  # fmt: skip
"""Module that is let through in part → the policy that most of the rest of it meets."""
_OF_CALL = {name: policy for policy, names in CALLS.items() for name in names}
_OF_MODULE = {name: policy for policy, names in REFUSED.items() for name in names}


def refusal(what: str, policy: str) -> str:
    """Return the sentence of a refusal: what, which policy, why, and what to do instead."""
    reason, remedy = POLICIES[policy]
    return f"{what} is refused by policy {policy}: {reason}; {remedy}"


def of_module(name: str) -> str:
    """Return the policy that keeps a module out: its own, or that of the package that holds it."""
    while name and name not in _OF_MODULE:
        name = name.rpartition(".")[0]
    return _OF_MODULE.get(name, "imports")


def of_attribute(module: str, name: str) -> str:
    """Return the policy that keeps a name of a module out which is let through in part."""
    return _OF_CALL.get(name) or _REST[module]


def import_refusal(name: str) -> str:
    """Return the sentence about a module that a tool may not import, or that no import statement of its source named."""
    if name in IMPORTABLE or name in PARTLY:
        return f"import of {name!r} at run time is refused by policy dynamicCode: sessions read no files; name it in an import statement"
    return refusal(f"import of {name!r}", of_module(name))


def of_calls(names: list[str]) -> tuple[str, str] | None:
    """Return the function and the policy of the last of some names that is known to meet one at run time."""
    return next(((name, _OF_CALL[name]) for name in reversed(names) if name in _OF_CALL), None)
