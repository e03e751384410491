"""The servers under test, each in its process on its core."""

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.client import LEGATO_TOKEN, REFERENCE_TOKEN
from bench.machine import SERVER_CORE, cpu_s, pin
from bench.upstream import prompt
from tests.support.server import ServerFailed, ServerProcess, clean_environment, free_port

_REPOSITORY: Final = Path(__file__).parents[1]
_READY_S: Final = 30.0


class Api:
    """Blocking requests on one kept-alive connection: to prepare, and to measure what is not a stream."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of a 2xx."""
        return json.loads(self.raw(method, path, body))

    def raw(self, method: str, path: str, body: object = None) -> bytes:
        """The body of a 2xx."""
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"content-type": "application/json"} if sent else {})
        response = self._connection.getresponse()
        said = response.read()
        if response.status >= 300:
            raise ServerFailed(f"{method} {path}: {response.status} {said[:500]!r}")
        return said

    def close(self) -> None:
        self._connection.close()


class Target:
    """A server that answers turns."""

    token: re.Pattern[bytes]

    def __init__(self, name: str, pid: int, port: int) -> None:
        self.name = name
        self.pid = pid
        self.port = port

    def prepare(self, turns: int) -> None:
        """Get ready for that many turns."""

    def request(self, number: int) -> bytes:
        """The request that begins the turn with this number."""
        raise NotImplementedError

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def idle(self, seconds: float = 2.0) -> float:
        """The CPU-seconds that it uses a second for nothing."""
        before = self.cpu_s()
        time.sleep(seconds)
        return (self.cpu_s() - before) / seconds

    def _post(self, path: str, body: object, accept: str = "") -> bytes:
        sent = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
        return f"{head}{accept}content-length: {len(sent)}\r\n\r\n".encode() + sent


class LegatoTarget(Target):
    """Legato as it ships; every turn in a session of its own, made beforehand."""

    token = LEGATO_TOKEN

    def __init__(self, name: str, pid: int, port: int) -> None:
        super().__init__(name, pid, port)
        self._sessions: list[str] = []

    def prepare(self, turns: int) -> None:
        api = Api(self.port)
        while len(self._sessions) < turns:
            self._sessions.append(api.ask("POST", "/v1/sessions", {})["id"])
        api.close()

    def session(self) -> str:
        """A fresh session."""
        if not self._sessions:
            self.prepare(1)
        return self._sessions.pop()

    def request(self, number: int) -> bytes:
        return self.request_in(self.session(), number)

    def request_in(self, session: str, number: int) -> bytes:
        body = {"message_id": f"bench-{number}", "text": prompt(number)}
        return self._post(f"/v1/sessions/{session}/turns", body, "accept: text/event-stream\r\n")

    def events(self, session: str, after: str = "0") -> bytes:
        """The request that follows a session's journal from a cursor on."""
        path = f"/v1/sessions/{session}/events?after={after}"
        return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\naccept: text/event-stream\r\n\r\n".encode()


class ReferenceTarget(Target):
    token = REFERENCE_TOKEN

    def request(self, number: int) -> bytes:
        return self._post("/chat", {"text": prompt(number)})


class BareTarget(Target):
    """``reference_uvicorn``: everybody gets the same frames."""

    token = LEGATO_TOKEN

    def request(self, number: int) -> bytes:
        return f"GET /frames HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n\r\n".encode()


@contextmanager
def legato(upstream_url: str, directory: Path, *, database: str = "", titles: bool = False) -> Iterator[LegatoTarget]:
    """``legato serve`` on a new SQLite file (or on ``database``), in front of the model at ``upstream_url``.

    Where it makes no ``titles``, only what is measured asks the model.
    """
    ours = directory / f"{time.time_ns()}.db"
    database = database or f"sqlite:///{ours}"
    environment = {"OPENAI_BASE_URL": upstream_url, "OPENAI_API_KEY": "bench", "OPENAI_MODEL": "gpt-5-mini"}
    environment["LEGATO_TITLES"] = "1" if titles else "0"
    server = ServerProcess(database, env=environment, log=directory / "legato.log")
    server.launch()
    try:
        pin(server.pid, SERVER_CORE)
        server.wait_ready()
        pin(server.pid, SERVER_CORE)
        yield LegatoTarget("legato", server.pid, server.port)
        if (code := server.terminate()) not in (0, -15):  # uvicorn passes the signal on when it is done
            raise ServerFailed(f"legato serve ended with {code}\n{server.log_tail()}")
    finally:
        server.kill()
        for written in directory.glob(f"{ours.name}*"):
            written.unlink()


@contextmanager
def reference(name: str, upstream_url: str, directory: Path) -> Iterator[ReferenceTarget]:
    """``bench.reference_<name>`` under uvicorn, with uvloop and httptools."""
    port = free_port()
    with uvicorn(f"bench.reference_{name}:app", port, {"OPENAI_BASE_URL": upstream_url}, directory) as pid:
        yield ReferenceTarget(name, pid, port)


@contextmanager
def bare(rate: float, directory: Path) -> Iterator[BareTarget]:
    """Bare ASGI that writes ``rate`` frames a second to everybody."""
    port = free_port()
    with uvicorn("bench.reference_uvicorn:app", port, {"BENCH_RATE": str(rate)}, directory) as pid:
        yield BareTarget("uvicorn", pid, port)


@contextmanager
def uvicorn(app: str, port: int, environment: Mapping[str, str], directory: Path) -> Iterator[int]:
    """The process id of an application that listens."""
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]
    with (directory / "references.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - a program of our own
            command, cwd=_REPOSITORY, env={**clean_environment(), **environment}, stdout=log, stderr=log
        )
    try:
        pin(process.pid, SERVER_CORE)
        _wait_until_it_listens(process, port)
        pin(process.pid, SERVER_CORE)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"a reference did not start: see references.log ({error})") from error
            time.sleep(0.05)
        finally:
            connection.close()
