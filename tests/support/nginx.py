"""Debian's nginx as it is installed, in front of a server: on a port and in a directory of its own, with or without root.

    with Nginx(tmp_path, server.port) as nginx:
        …                                       # nginx.url
        nginx.stop()                            # every connection is cut
        nginx.start()                           # the same port

The installed ``nginx.conf`` is used as it is, but for the places where it writes; in place of ``sites-enabled`` stands the
server block that ``docs/operations.md`` shows to operators.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.require import require_program, unavailable
from tests.support.server import free_port

BLOCK: Final = Path(__file__).with_name("nginx.conf")
_INSTALLED: Final = Path("/etc/nginx/nginx.conf")
_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.02


class Nginx:
    """``bare``: nothing but ``proxy_pass`` and the time-out. ``compress``: streams too, and not web pages alone.

    ``more`` stands at the end of the block's ``location``. ``others`` are the ports of further servers.
    """

    def __init__(
        self,
        directory: Path,
        server_port: int,
        *,
        bare: bool = False,
        compress: bool = False,
        more: str = "",
        others: Sequence[int] = (),
    ) -> None:
        self._program = require_program("nginx")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory / f"nginx-{self.port}"
        self._directory.mkdir()
        self._conf = self._directory / "nginx.conf"
        site = _site(self.port, server_port, more, bare=bare) + ("gzip_types *;\n" if compress else "")
        if others:
            site = _balanced(site, server_port, others)
        self._conf.write_text(_configuration(self._directory, site))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def errors(self) -> str:
        """What it wrote into its error log."""
        log = self._directory / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def start(self) -> None:
        setpriv = shutil.which("setpriv")  # not even kill -9 of the tests leaves it behind
        guard = [setpriv, "--pdeathsig=TERM"] if setpriv else []
        command = [*guard, self._program, "-c", str(self._conf), "-e", str(self._directory / "error.log")]
        self._process = subprocess.Popen([*command, "-g", "daemon off;"], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _WITHIN_S
        while not self._listens():
            assert self._process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """The quick way: whatever it carries is cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_WITHIN_S)
            self._process = None

    def kill_workers(self) -> None:
        """Those who carry the connections crash; their master starts others."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _site(port: int, server_port: int, more: str, *, bare: bool) -> str:
    """The block of the documentation, on other ports."""
    block = BLOCK.read_text()
    if bare:
        block = re.sub(r"(?m)^ *proxy_set_header .*\n", "", block)
    block = _put(block, r"(?m)^    }$", f"{more}\n    }}")
    block = _put(block, r"listen 80;", f"listen 127.0.0.1:{port};")
    return _put(block, r"127\.0\.0\.1:8321", f"127.0.0.1:{server_port}")


def _balanced(site: str, server_port: int, others: Sequence[int]) -> str:
    """The same in front of several, as the documentation says."""
    servers = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in (server_port, *others))
    site = _put(site, rf"http://127\.0\.0\.1:{server_port};", "http://legato;")
    return f"upstream legato {{\n{servers}}}\n{site}"


def _configuration(directory: Path, site: str) -> str:
    """The installed configuration, writing below ``directory``, with this site."""
    if not _INSTALLED.exists():
        unavailable(f"{_INSTALLED} is not there, as Debian installs it")
    conf = _INSTALLED.read_text()
    # Root's workers must reach a directory that is closed to others; without root there is no choice.
    conf = _put(conf, r"(?m)^user .*;", "user root;" if os.geteuid() == 0 else "")
    conf = _put(conf, r"(?m)^pid .*;", f"pid {directory}/pid;")
    conf = _put(conf, r"(?m)^(\s*)access_log .*;", rf"\1access_log {directory}/access.log;")
    conf = re.sub(r"(?m)^error_log .*;", f"error_log {directory}/error.log;", conf)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    return _put(conf, r"include /etc/nginx/sites-enabled/\*;", temporary + site)


def _put(text: str, pattern: str, by: str) -> str:
    changed, times = re.subn(pattern, by, text)
    assert times == 1, f"{pattern!r} stands {times} times in nginx's configuration"
    return changed
