"""From what a failed program wrote to stderr, the words that tell why: of Node, Python, npm and others."""

import pytest

from astra_jobs.mcp.stderr import Lines, cause_of

NODE = """[eval]:1
throw new Error('NOTION_TOKEN is not set')
^

Error: NOTION_TOKEN is not set
    at [eval]:1:7
    at node:internal/main/eval_string:51:3

Node.js v20.20.2"""
NODE_LINES = """Error: missing:
 - A
 - B
    at [eval]:1:16
    ... 4 lines matching cause stack trace ...
    at node:internal/main/eval_string:51:3 {
  [cause]: Error: inner
      at [eval]:1:55
}

Node.js v20.20.2"""
MODULE = """node:internal/modules/esm/resolve:873
  throw new ERR_MODULE_NOT_FOUND(packageName, fileURLToPath(base), null);
        ^

Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'x' imported from /tmp/m.mjs
    at packageResolve (node:internal/modules/esm/resolve:873:9) {
  code: 'ERR_MODULE_NOT_FOUND'
}

Node.js v20.20.2"""
SEVERAL = """AggregateError [ECONNREFUSED]:
    at internalConnectMultiple (node:net:1117:18)
  [errors]: [
    Error: connect ECONNREFUSED ::1:5432
        at x"""
DEPRECATED = """(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated. Please use a userland alternative instead.
(Use `node --trace-deprecation ...` to show where the warning was created)
API key is required"""
PYTHON = """Traceback (most recent call last):
  File "x.py", line 2, in <module>
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "x.py", line 3, in <module>
app.errors.SettingsError: no key
set VAULT_KEY"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 6, in <module>
  |     raise me from None
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "x.py", line 3, in f
    | ValueError: KEY missing
    +------------------------------------"""
NPM = """npm error code E404
npm error 404 Not Found - GET https://registry.example/x - Not found
npm error A complete log of this run can be found in: /root/.npm/_logs/x.log"""
GO = "2026/01/01 starting\npanic: no token\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:3 +0x1d\nexit status 2"
RUST = "thread 'main' panicked at src/main.rs:2:5:\nTOKEN is not set\nnote: run with `RUST_BACKTRACE=1` environment variable"
JAVA = (
    'Exception in thread "main" java.lang.IllegalStateException: no key\n\tat Main.main(Main.java:3)\nCaused by: java.io.IOException: disk'
)

CAUSES = {
    "node": (NODE, "Error: NOTION_TOKEN is not set"),
    "node with lines": (NODE_LINES, "Error: missing: - A - B"),
    "node module": (MODULE, "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'x' imported from /tmp/m.mjs"),
    "node, several at once": (SEVERAL, "AggregateError [ECONNREFUSED]: Error: connect ECONNREFUSED ::1:5432"),
    "node with a warning": (DEPRECATED, "API key is required"),
    "python, chained": (PYTHON, "app.errors.SettingsError: no key set VAULT_KEY"),
    "python, a group": (GROUP, "ValueError: KEY missing"),
    "argparse": (
        "usage: x [-h] --token TOKEN\nx: error: the following arguments are required: --token",
        "usage: x [-h] --token TOKEN x: error:",
    ),
    "click": ("Usage: x [OPTIONS]\nTry 'x --help' for help.\n\nError: Missing option '--token'.", "Error: Missing option '--token'."),
    "npm": (NPM, "npm error 404 Not Found - GET https://registry.example/x - Not found"),
    "go": (GO, "panic: no token"),
    "rust": (RUST, "thread 'main' panicked at src/main.rs:2:5: TOKEN is not set"),
    "java": (JAVA, "Caused by: java.io.IOException: disk"),
    "dotnet": ("Unhandled exception. System.IOError: No key\n   at Program.Main()", "Unhandled exception. System.IOError: No key"),
    "ruby": ("x.rb:1:in `<main>': no token (RuntimeError)", "x.rb:1:in `<main>': no token (RuntimeError)"),
    "a shell": ("sh: 1: foo: not found", "sh: 1: foo: not found"),
    "plain words": ("Starting up\nPlease set NOTION_TOKEN\n\nbye", "Please set NOTION_TOKEN"),
    "colours": ("\x1b[31mError: red\x1b[0m", "Error: red"),
    "no word of failure": ("one\ntwo\nthree", "two three"),
    "nothing but a frame": ("    at x:1:2", "at x:1:2"),
    "nothing": ("\n \n", ""),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_the_error_and_not_the_last_line(case: str) -> None:
    text, cause = CAUSES[case]
    found = cause_of(text.splitlines())
    assert found.startswith(cause)
    assert "Node.js" not in found


def test_lines_are_whole_though_they_come_in_parts_and_the_middle_is_forgotten() -> None:
    lines = Lines()
    data = b"".join(b"line %d\r\n" % number for number in range(1000)) + b"\xffno end"
    for start in range(0, len(data), 7):
        lines.feed(data[start : start + 7])
    found = lines.all()
    assert found[:2] == ["line 0", "line 1"]
    assert found[-2:] == ["line 999", "\ufffdno end"]
    assert len(found) == 251
    lines.feed(b"x" * 10**7)
    assert max(map(len, lines.all())) == 2000
