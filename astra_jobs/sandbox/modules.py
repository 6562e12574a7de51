"""Modules that tool code may import: loaded once in the zygote, allowed by the static gate of synthesis.

Standard library only, so that the zygote stays small; nothing that reads files, starts processes or opens sockets.
``random``, ``time`` and ``datetime`` are here because a session seeds and virtualises them.
"""

IMPORTABLE: tuple[str, ...] = (
    "bisect", "calendar", "collections", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "heapq", "itertools", "json", "math", "random", "re", "statistics", "string", "textwrap", "time", "typing",
)  # fmt: skip
