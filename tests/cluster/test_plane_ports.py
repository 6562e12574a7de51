"""Ports of two sessions at once do not meet, and one that a stranger took is seen as such."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.plane import access, plane
from tests.cluster.plane.access import free_ports
from tests.patience import patience

ROOT = Path(__file__).parents[2]


class Enough(Exception):
    """Ends the second start: what matters has been seen."""


def test_two_sessions_have_ports_of_their_own():
    code = "from tests.cluster.plane.access import free_ports; print(*free_ports(3)); input()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = {int(port) // access.BLOCK for port in other.stdout.readline().split()}
        ours = {port // access.BLOCK for port in free_ports(3)}
        other.communicate("\n", timeout=patience())
    assert len(ours) == len(theirs) == 1
    assert ours != theirs


def test_a_port_in_use_is_passed_over():
    (first,) = free_ports(1)
    following = first + 1 if (first + 1) % access.BLOCK else first + 1 - access.BLOCK
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", following))
        stranger.listen()
        assert following not in free_ports(access.BLOCK // 2)


def test_a_control_plane_whose_port_was_taken_is_started_on_others(tmp_path, monkeypatch):
    started, said, real = [], [], plane._start_programs

    def start(components, supervisor):
        """The real etcd on a taken port, then nothing at all."""
        started.append(components.ports)
        if len(started) == 1:
            real(components, supervisor)
        raise Enough

    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))  # bound, but nobody listens: only etcd's own end tells
        taken = stranger.getsockname()[1]
        given = iter([[taken, *free_ports(4)]])
        monkeypatch.setattr(plane, "free_ports", lambda count: next(given, None) or free_ports(count))
        monkeypatch.setattr(plane, "_start_programs", start)
        with pytest.raises(Enough):
            plane.start_plane(tmp_path, said.append)
    assert said == ["control plane: a port was taken meanwhile, trying others"]
    assert [taken in vars(ports).values() for ports in started] == [True, False]
