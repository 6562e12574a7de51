"""busybox's nslookup as far as an init container asks it: ``nslookup NAME`` ends with 0 when the pod's DNS server knows an address.

The server and the pod's search list are in the environment (a process without a room of its own has this machine's /etc/resolv.conf).
"""

import os
import secrets
import socket
import struct
import sys

SECONDS = 5
SERVER, SEARCH = "ASTRA_NODE_DNS", "ASTRA_NODE_SEARCH"


def addresses(name: str, server: tuple[str, int]) -> list[str]:
    """Ask for the IPv4 addresses of a whole name; OSError when nobody answers."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack("!6H", secrets.randbelow(1 << 16), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(SECONDS)
        asker.sendto(question, server)
        answer = asker.recv(4096)
    (count,) = struct.unpack_from("!H", answer, 6)
    # The node's server answers with nothing but addresses, each in 16 bytes.
    return [socket.inet_ntoa(answer[-16 * place :][12:16]) for place in range(count, 0, -1)]


def main() -> int:
    """Return the exit code."""
    host, _, port = os.environ[SERVER].rpartition(":")
    for domain in os.environ[SEARCH].split():
        name = f"{sys.argv[1]}.{domain}"
        if found := addresses(name, (host, int(port))):
            print(f"Name:\t{name}\n" + "\n".join(f"Address: {address}" for address in found))
            return 0
    print(f"** server can't find {sys.argv[1]}: NXDOMAIN")
    return 1


if __name__ == "__main__":
    sys.exit(main())
