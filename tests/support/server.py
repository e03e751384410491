"""A real server in a real process: started as a user starts it, killed as the kernel kills it.

    with ServerProcess("sqlite:////tmp/x/chat.db") as server:
        …                     # server.url
        server.kill()         # SIGKILL
        server.start()        # the same port, the same database

All methods block; inside an event loop that has other work, call them through ``anyio.to_thread.run_sync``.
"""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# Below Linux's ephemeral range (32768…): there, any outgoing connection of another test could take the port
# while the server is down, and a restart on the same port would fail now and then.
_PORTS: Final = range(20_000, 32_000)
_POLL_S: Final = 0.02
_ARTIFACTS: Final = Path(__file__).parents[2] / ".artifacts" / "servers"
# A developer's own keys and settings must not decide what is tested. And a server that may not keep compiled modules
# compiles all of its dependencies at each start, which takes seconds.
_FOREIGN: Final = ("LEGATO_", "OPENAI_", "ANTHROPIC_", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")


class ServerFailed(Exception):
    """The server did not start, did not stop, or stopped by itself; the end of its log is in the message."""


def free_port() -> int:
    """A port nobody listens on."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free port")


class ServerProcess:
    """``legato serve`` on a port and a database that outlive the process.

    ``env`` is added to the caller's environment, from which keys and settings of Legato and of providers are
    removed, so that the demo agent answers unless the test says otherwise; it may be changed between two runs
    (a failure point for the first only). No titles are made, unless it has ``LEGATO_TITLES=1``: they come when they like,
    and most tests look at a journal that is at rest. ``args`` are further arguments of ``serve``. Output of all runs goes
    to ``log``. On a ``host`` other than loopback it wants ``LEGATO_TOKEN`` in ``env``.
    """

    def __init__(
        self,
        database_url: str,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        *,
        host: str = "127.0.0.1",
        args: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        self.host = host
        self.database_url = database_url
        self.port = free_port() if port is None else port
        self.log = log or _ARTIFACTS / f"{os.getpid()}-{self.port}.log"
        self.env = dict(env or {})
        self._command = [sys.executable, "-m", "legato.cli"]
        self._arguments = ["serve", "--host", host, "--port", str(self.port), "--database", database_url, *args]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server is, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the run that goes on.

        Raises:
            ServerFailed: the server is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerFailed("the server is not running")
        return self._process.pid

    def start(self, *, ready_within_s: float = 30) -> Self:
        """Starts the process and returns when ``/readyz`` says 200.

        Raises:
            ServerFailed: it exited, or was not ready in time (then it is killed).
        """
        self.launch()
        try:
            self.wait_ready(ready_within_s)
        except ServerFailed:
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Starts the process and does not wait: for tests that watch it boot, or expect it to refuse."""
        if self.running:
            raise ServerFailed("the server is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            command = [*self._command, *self._arguments]
            log.write(f"--- {' '.join(command)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                command,
                env=clean_environment() | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, within_s: float = 30) -> None:
        """Returns when ``/readyz`` says 200.

        Raises:
            ServerFailed: the process exited, or time is up.
        """
        deadline = time.monotonic() + within_s
        while not self._is_ready():
            if not self.running:
                raise ServerFailed(f"the server exited with {self.exit_code}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"the server was not ready within {within_s} s\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def ask_to_stop(self) -> None:
        """SIGTERM, and no waiting."""
        os.kill(self.pid, signal.SIGTERM)

    @property
    def ready(self) -> bool:
        """What ``/readyz`` says; False also where nobody listens."""
        return self._is_ready()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Of a server that is gone already, nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, within_s: float = 30) -> int:
        """SIGTERM; returns the exit code.

        Raises:
            ServerFailed: it did not exit in time (then it is killed).
        """
        if self._process is None:
            raise ServerFailed("the server was never started")
        self._process.terminate()
        return self.wait(within_s)

    def wait(self, within_s: float = 30) -> int:
        """Returns the exit code when the process has ended by itself.

        Raises:
            ServerFailed: it did not in time (then it is killed).
        """
        if self._process is None:
            raise ServerFailed("the server was never started")
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"the server did not exit within {within_s} s\n{self.log_tail()}") from None

    def restart(self, *, ready_within_s: float = 30) -> None:
        """Kills what runs and starts it again on the same port and database."""
        self.kill()
        self.start(ready_within_s=ready_within_s)

    @property
    def exit_code(self) -> int | None:
        """The last run's; negative: the signal that ended it. None before the end."""
        return self._process.poll() if self._process is not None else None

    def log_tail(self, lines: int = 40) -> str:
        """The end of what the server printed, in all its runs."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def clean_environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return own | {"PYTHONUNBUFFERED": "1", "LEGATO_TITLES": "0"}
