"""The state digest of a session, counted here as the pool counts it: equal states mean equal histories.

A server's copy that saw a call twice, not at all or in another order is found out by the first result that it gives.
"""

import json
from hashlib import blake2b


def first(environment: str, seed: int) -> bytes:
    """Return the state of a session that has seen no call."""
    return blake2b(f"{environment}/{seed}".encode(), digest_size=16).digest()


def after(state: bytes, tool: str, arguments: bytes, outcome: str, text: str) -> bytes:
    """Return the state after an applied call; ``arguments`` are canonical JSON."""
    chain = blake2b(state, digest_size=16)
    chain.update(b"[" + json.dumps(tool, ensure_ascii=False).encode() + b"," + arguments + b"]")
    chain.update(b"\0" + outcome.encode() + b"\0" + text.encode())
    return chain.digest()
