"""How much one client may ask of the front before it is answered, refused or cut off.

Every figure bounds memory or time that a stranger could otherwise hold. Calls themselves are bounded by the engine.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Sizes in bytes, times in seconds."""

    head: int = 16 << 10
    """Request line and headers of one request."""
    headers: int = 64
    """Number of headers of one request."""
    body: int = 8 << 20
    """Body of one request that carries calls, sessions or an environment."""
    bodies: int = 256 << 20
    """Bodies being received on all connections at once."""
    answers: int = 64 << 20
    """Answers that wait on one connection, for their turn or for a slow reader; over it the connection is cut."""
    connections: int = 4096
    pipelined: int = 64
    """Requests of one connection that may wait for their answers before no more are read."""
    head_seconds: float = 10.0
    """From the first byte of a request to the end of its headers, and from connecting to the first byte."""
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    """How long a connection may stay open without a request; longer than clients keep theirs."""
    write_seconds: float = 30.0
    """How long a client may leave its answers unread."""
    linger_seconds: float = 2.0
    """How long the rest of a refused request is read and dropped, so that its answer is not lost by a reset."""
