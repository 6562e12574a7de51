"""Modules loaded once in the base zygote. Sessions open no files, so what is not loaded here cannot be imported.

``IMPORTABLE`` is what the static gate of synthesis lets tools import: nothing that reads files, starts processes or
opens sockets. ``random``, ``time`` and ``datetime`` are among them because a session seeds and virtualises them. The
others are what these load late, and dangerous modules whose calls the walls must stop: a wall is not proven by a
module that happens to be missing.
"""

IMPORTABLE: tuple[str, ...] = (
    "bisect", "calendar", "collections", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "heapq", "itertools", "json", "math", "random", "re", "statistics", "string", "textwrap", "time", "typing",
)  # fmt: skip
LATE: tuple[str, ...] = (
    "_strptime", "abc", "array", "ast", "base64", "binascii", "cmath", "collections.abc", "contextlib", "encodings.ascii",
    "encodings.idna", "encodings.latin_1", "encodings.utf_16", "hashlib", "html", "inspect", "ipaddress", "numbers", "operator",
    "pprint", "secrets", "struct", "tempfile", "traceback", "types", "unicodedata", "urllib.parse", "uuid", "weakref", "zlib",
)  # fmt: skip
DANGEROUS: tuple[str, ...] = (
    "ctypes", "errno", "fcntl", "gc", "glob", "io", "mmap", "multiprocessing", "os", "pathlib", "resource", "select",
    "selectors", "shutil", "signal", "socket", "subprocess", "sys", "threading",
)  # fmt: skip
WARM = (*IMPORTABLE, *LATE, *DANGEROUS)
