"""What Linux tells about another process: its memory, its sockets."""

import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


def memory_kib(pid: int, what: str) -> int:
    """``VmRSS``, or ``VmHWM`` for the most that it ever was."""
    found = re.search(rf"(?m)^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def open_sockets(pid: int) -> set[int]:
    """The inodes of the sockets that a process holds."""
    return set(_sockets(pid))


class Held(NamedTuple):
    """This side of a TCP connection: the socket's inode, the bytes that the peer has not acknowledged, those not read here."""

    inode: int
    unacknowledged: int
    unread: int


def connection_to(peer: tuple[str, int]) -> Held | None:
    """Over IPv4; None when nobody here has one (any more)."""
    packed: int = struct.unpack("=I", socket.inet_aton(peer[0]))[0]
    remote = f"{packed:08X}:{peer[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2] == remote:
            unacknowledged, unread = (int(bytes_, 16) for bytes_ in fields[4].split(":"))
            return Held(int(fields[9]), unacknowledged, unread)
    return None


def _sockets(pid: int) -> Iterator[int]:
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])
