"""Servers that are up in a fifth of a second: forked from a process that has imported everything beforehand.

A kill loop restarts its server every second; two of them would be spent on imports. The child runs ``legato serve`` like
any other, is a process of its own, and is killed like one. What is decided at import (``LEGATO_FAILPOINT``) can't be
changed in a fork: for that, start a ``ServerProcess``.

The nursery reads one line of JSON for each child (``args``, ``env``, ``log``), writes its pid, and when it has ended its
exit code; when its standard input is closed, it kills the child and goes.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from tests.support.server import ServerProcess, _clean_environment

_ROOT: Final = Path(__file__).parents[2]


class Nursery:
    """One process that forks servers, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.process.nursery"]
        # Unbuffered: a line that waits in a buffer would be unknown to select.
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate()

    def fork(self, args: list[str], env: dict[str, str], log: Path) -> "Child":
        assert self._process is not None
        assert self._process.stdin is not None
        order = json.dumps({"args": args, "env": env, "log": str(log)})
        self._process.stdin.write(order.encode() + b"\n")
        return Child(self._answer(), self)

    def _answer(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def ended(self, within_s: float | None) -> int | None:
        """The exit code of the child, None if it lives on."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        return self._answer() if ready else None


class Child:
    """As much of ``subprocess.Popen`` as ``ServerProcess`` needs."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._nursery.ended(0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            self._code = self._nursery.ended(timeout)
        if self._code is None:
            raise subprocess.TimeoutExpired("legato serve", timeout or 0.0)
        return self._code

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkedServer(ServerProcess):
    """A ``ServerProcess`` whose processes come from ``nursery``."""

    def __init__(self, nursery: Nursery, database_url: str, env: dict[str, str], log: Path | None = None) -> None:
        super().__init__(database_url, env=env, log=log)
        self._nursery = nursery

    def launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        args = ["serve", "--port", str(self.port), "--database", self.database_url]
        child = self._nursery.fork(args, _clean_environment() | self.env, self.log)
        self._process = cast("subprocess.Popen[bytes]", child)


def _main() -> None:
    """The nursery itself."""
    import asyncpg  # noqa: F401
    import pysqlite3.dbapi2  # noqa: F401
    import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401

    import legato.cli.serve  # noqa: F401

    gc.freeze()
    while order := sys.stdin.buffer.readline():
        pid = os.fork()
        if pid == 0:
            _serve(json.loads(order))
        print(pid, flush=True)
        print(_wait(pid), flush=True)


def _wait(pid: int) -> int:
    child = os.pidfd_open(pid)
    ready, _, _ = select.select([child, sys.stdin.fileno()], [], [])
    if child not in ready:  # whoever asked for it is gone
        os.kill(pid, signal.SIGKILL)
    os.close(child)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _serve(order: dict[str, Any]) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["legato", *order["args"]]
    code = 1
    try:
        from legato.cli import main

        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
