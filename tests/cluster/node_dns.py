"""The cluster's DNS, as far as the process node's pods need it: the ready addresses behind headless Services.

It listens on an address of its own on loopback, answers for ``SERVICE.NAMESPACE.svc.cluster.local`` and asks nobody else: what is not
of the cluster does not exist. Each question is looked up anew, so that an answer is never older than the API server's.
"""

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence

from astra_operator.clusters.base import Object
from astra_operator.clusters.processes import address_of
from tests.cluster.node_api import LOST_CONNECTION, NodeApi
from tests.cluster.node_status import listening

DOMAIN = "cluster.local"
PORT, LONGEST, SECONDS = 53, 4096, 5
_A, _INTERNET = 1, 1
_NO_ERROR, _FAILED, _NO_NAME = 0, 2, 3
_ANSWER, _AUTHORITATIVE = 0x8000, 0x0400

Look = Callable[[str, str], Sequence[str] | None]
"""Ready addresses of a Service by namespace and name; None when there is no such Service."""


def ready_addresses(slices: Sequence[Object]) -> list[str]:
    """Return the addresses that a headless Service's name stands for."""
    points = [point for item in slices for point in item.get("endpoints") or ()]
    return sorted({listening(address) for point in points if point.get("conditions", {}).get("ready") for address in point["addresses"]})


def resolv_conf(pod: Object, server: str) -> str:
    """Return a pod's resolv.conf, as a kubelet writes it."""
    spec = pod["spec"]
    if spec.get("dnsPolicy") == "None":
        return "".join(f"nameserver {address}\n" for address in spec["dnsConfig"]["nameservers"])
    search = f"{pod['metadata']['namespace']}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
    return f"nameserver {server}\nsearch {search}\noptions ndots:5 timeout:2\n"


def answer(question: bytes, look: Look) -> bytes:
    """Return the answer to a question; ValueError for what is none."""
    try:
        number, flags, count = struct.unpack_from("!HHH", question)
        name, end = _name(question)
        kind, kin = struct.unpack_from("!HH", question, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise ValueError("not a question") from None
    if flags & _ANSWER or count != 1:
        raise ValueError("not a question")
    code, found = _find(name, look)
    if (kind, kin) != (_A, _INTERNET):
        found = []
    head = struct.pack("!6H", number, _ANSWER | _AUTHORITATIVE | flags & 0x0100 | code, 1, len(found), 0, 0)
    records = [struct.pack("!HHHIH", 0xC00C, _A, _INTERNET, SECONDS, 4) + socket.inet_aton(address) for address in found]
    return head + question[12 : end + 4] + b"".join(records)


def _name(question: bytes) -> tuple[list[str], int]:
    labels, place = [], 12
    while size := question[place]:
        labels.append(question[place + 1 : place + 1 + size].decode("ascii").lower())
        place += 1 + size
    return labels, place + 1


def _find(name: list[str], look: Look) -> tuple[int, Sequence[str]]:
    if len(name) != 5 or ".".join(name[2:]) != f"svc.{DOMAIN}":
        return _NO_NAME, []
    try:
        found = look(name[1], name[0])
    except LOST_CONNECTION as error:
        print(f"DNS: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        return _FAILED, []
    return (_NO_NAME, []) if found is None else (_NO_ERROR, found)


def selected_addresses(pods: Sequence[Object]) -> list[str]:
    """Return the addresses of those of a Service's pods that are ready and publish one on loopback.

    An API server takes no such address into an EndpointSlice, so what the controller would write there is worked out here.
    """
    found = []
    for pod in pods:
        status = pod.get("status", {})
        ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", []))
        if ready and "podIP" in status and "deletionTimestamp" not in pod["metadata"]:
            found.append(listening(status["podIP"]))
    return sorted(found)


def serve(api: NodeApi, node: str) -> tuple[str, int]:
    """Answer from a background thread; return address and port, which is DNS's own only for root."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = address_of(f"dns/{node}", ())
    listener.bind((address, PORT if os.geteuid() == 0 else 0))

    def look(namespace: str, service: str) -> list[str] | None:
        found = api.get("Service", namespace, service)
        if found is None:
            return None
        slices = ready_addresses(api.endpoint_slices(namespace, service))
        return slices or selected_addresses(api.selected(namespace, found["spec"].get("selector") or {}))

    threading.Thread(target=_listen, args=(listener, look), name="dns", daemon=True).start()
    return listener.getsockname()


def _listen(listener: socket.socket, look: Look) -> None:
    while True:
        question, who = listener.recvfrom(LONGEST)
        try:
            listener.sendto(answer(question, look), who)
        except ValueError:
            continue
