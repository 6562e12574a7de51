"""Asking a pod how far it is, and where its threads stand: plain HTTP to its address, and nothing that comes back is believed.

One deadline for the whole exchange, a bound on its size, no redirects, no proxies: a pod may answer a byte a second, or forever.
"""

import socket
import time

_CHUNK = 4096
_HEAD = 8_192


def fetch(address: str, port: int, path: str, limit: int, seconds: float) -> bytes | None:
    """Return the body of a 200 answer of at most ``limit`` bytes that is whole within ``seconds``, else None."""
    deadline = time.monotonic() + seconds
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            # HTTP/1.0, so that the body is not chunked and ends with the connection.
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {_host(address)}:{port}\r\nConnection: close\r\n\r\n".encode())
            return _body(_receive(connection, deadline, limit + _HEAD), limit)
    except (OSError, ValueError):
        return None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _receive(connection: socket.socket, deadline: float, limit: int) -> bytes:
    """Read until the other side closes or has sent as much as it announced; raises ``OSError`` after the deadline or the limit."""
    received = b""
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        chunk = connection.recv(_CHUNK)
        received += chunk
        if not chunk or _complete(received):
            return received
        if len(received) > limit:
            raise OSError("the answer is too long")
    raise TimeoutError("the answer took too long")


def _complete(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    length = _length(head) if found else None
    return length is not None and len(body) >= length


def _length(head: bytes) -> int | None:
    """Return the announced length of the body, or None; raises ``ValueError`` when it is no number."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return None


def _body(received: bytes, limit: int) -> bytes | None:
    head, found, body = received.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split()
    if not found or len(status) < 2 or status[1] != b"200":
        return None
    length = _length(head)
    if (length is not None and len(body) != length) or len(body) > limit:
        return None
    return body
