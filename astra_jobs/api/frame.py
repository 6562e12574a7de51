"""Bytes through a pod's log: packed into lines that survive foreign lines between them, with length and digest at the end.

The command line reads what ``astra-job inspect --framed`` prints this way: it has no way to the store of its own.
"""

import base64
import gzip
import hashlib
import zlib

_LINE, _END = "astra-frame ", "astra-frame-end "
_WIDTH = 8000


def framed(data: bytes) -> str:
    """Return the lines to print."""
    text = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    lines = [_LINE + text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return "\n".join([*lines, f"{_END}{len(data)} {hashlib.sha256(data).hexdigest()}"]) + "\n"


def unframed(log: str) -> bytes:
    """Return the bytes that a log carries; raises ``ValueError`` when they are not there, or not whole."""
    lines = log.splitlines()
    end = next((line.removeprefix(_END).split() for line in lines if line.startswith(_END)), None)
    if end is None or len(end) != 2:
        raise ValueError("the log ends before its last line")
    try:
        data = gzip.decompress(
            base64.b64decode("".join(line.removeprefix(_LINE) for line in lines if line.startswith(_LINE)), validate=True)
        )
    except (ValueError, EOFError, OSError, zlib.error):
        raise ValueError("lines of the log are missing or damaged") from None
    if [str(len(data)), hashlib.sha256(data).hexdigest()] != end:
        raise ValueError(f"the log has {len(data)} bytes instead of {end[0]}, or others than were written")
    return data
