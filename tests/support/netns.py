"""A machine of its own, as far as the network sees it: a namespace at the other end of a cable, which can vanish.

with Elsewhere() as elsewhere:
    …                               # elsewhere.here: our address on the cable
    elsewhere.new_socket()              # one that connects from there
    elsewhere.vanish()              # no packet is answered any more, and none refused
"""

import ctypes
import itertools
import os
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.require import require_program, unavailable

_CLONE_NEWNET: Final = 0x40000000
_number = itertools.count()


class Elsewhere:
    """Needs root and iproute2; else the test is skipped, or fails where all must be there."""

    def __init__(self) -> None:
        self._ip = require_program("ip")
        if os.geteuid() != 0:
            unavailable("only root makes network namespaces")
        mark = f"{os.getpid() % 100_000}{chr(ord('a') + next(_number) % 26)}"
        self._name = f"legato-{mark}"
        self._near, self._far = f"lgn{mark}", f"lgf{mark}"
        # Of the range for benchmarks of networks (RFC 2544): nobody's, and each test's own.
        net = f"198.18.{os.getpid() % 250}.{4 * (next(_number) % 60)}".rpartition(".")
        self.here = f"{net[0]}.{int(net[2]) + 1}"
        self.there = f"{net[0]}.{int(net[2]) + 2}"

    def __enter__(self) -> Self:
        made = self._run("netns", "add", self._name, may_fail=True)
        if made.returncode:
            unavailable(f"network namespaces can't be made here: {made.stderr.strip()}")
        try:
            self._lay_cable()
        except BaseException:
            self._run("netns", "delete", self._name)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("link", "delete", self._near, may_fail=True)  # at once: the namespace may live on for its sockets
        self._run("netns", "delete", self._name)

    def new_socket(self) -> socket.socket:
        """A TCP socket of that machine, in this process."""
        with ThreadPoolExecutor(1) as thread:  # a thread that enters a namespace does not come back
            return thread.submit(self._socket).result()

    def vanish(self) -> None:
        """Whatever is sent there is delivered, and nothing ever comes back: as when a phone leaves the network."""
        shown = self._run("-n", self._name, "link", "show", self._far).stdout
        found = re.search(r"link/ether (\S+)", shown)
        assert found is not None
        # Behind a router nobody is told that it does not answer ARP either.
        self._run("neigh", "replace", self.there, "lladdr", found[1], "dev", self._near, "nud", "permanent")
        self._run("-n", self._name, "address", "flush", "dev", self._far)

    def _lay_cable(self) -> None:
        self._run("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        self._run("address", "add", f"{self.here}/30", "dev", self._near)
        self._run("link", "set", self._near, "up")
        self._run("-n", self._name, "address", "add", f"{self.there}/30", "dev", self._far)
        self._run("-n", self._name, "link", "set", self._far, "up")

    def _socket(self) -> socket.socket:
        with Path(f"/run/netns/{self._name}").open("rb") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.socket()

    def _run(self, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._ip, *arguments], capture_output=True, text=True, check=not may_fail, stdin=subprocess.DEVNULL
        )
