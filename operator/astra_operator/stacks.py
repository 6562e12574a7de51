"""Stacks of a stuck launch: what each rank or shard was doing, kept on its request before anything is deleted.

They come from the pods themselves and are untrusted text: bounded, and never read again by the operator.
"""

from collections.abc import Callable

from astra_operator.clusters.base import Object
from astra_operator.observed import Launch

MAX_BYTES = 8192
_PODS = 8


def gather(launch: Launch, ask: Callable[[Object], str]) -> str:
    """Return at most 8 KB of stacks: of each of the first eight running pods an equal share, the end of which is its main thread."""
    running = {pod.name for pod in launch.pods if pod.phase == "Running"}
    pods = [item for item in launch.objects if item["kind"] == "Pod" and item["metadata"]["name"] in running][:_PODS]
    share = MAX_BYTES // max(1, len(pods))
    return "\n".join(part for pod in pods if (part := _part(pod["metadata"]["name"], ask(pod), share - 1)))


def _part(name: str, text: str, share: int) -> str:
    clean = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text).strip()
    if not clean:
        return ""
    head = f"== {name}\n"
    return head + clean.encode()[-(share - len(head)) :].decode(errors="ignore")
