"""Servers that are up in a fifth of a second: forked from a process that has imported everything beforehand.

A kill loop restarts its server every second; two of them would be spent on imports. The child runs ``legato serve`` like
any other, is a process of its own, and is killed like one. What is decided at import (``LEGATO_FAILPOINT``) can't be
changed in a fork: such a server is started the ordinary way.

The nursery reads a line of JSON for each child (``args``, ``env``, ``log``) and writes ``born PID`` and ``died PID CODE``.
When its standard input is closed, it kills its children and goes.
"""

import gc
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self, cast

from tests.support.server import ServerFailed, ServerProcess, clean_environment

FAILPOINT: Final = "LEGATO_FAILPOINT"
_ROOT: Final = Path(__file__).parents[2]
_SLICE_S: Final = 0.05
_STDIN: Final = 0


class Nursery:
    """One process that forks servers; safe to use from several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()

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
        """A new process that runs ``legato`` with ``args``."""
        assert self._process is not None
        assert self._process.stdin is not None
        order = json.dumps({"args": args, "env": env, "log": str(log)})
        with self._lock:
            self._process.stdin.write(order.encode() + b"\n")
            while (pid := self._listen(None)) is None:
                pass
        return Child(pid, self)

    def code(self, pid: int, within_s: float) -> int | None:
        """The exit code of a child, None if it lives on."""
        deadline = time.monotonic() + within_s
        while True:
            with self._lock:
                if pid not in self._codes:
                    self._listen(min(_SLICE_S, within_s))
                if pid in self._codes or time.monotonic() >= deadline:
                    return self._codes.get(pid)

    def _listen(self, within_s: float | None) -> int | None:
        """Takes in one message, if one comes; the pid that it says is born."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        if not ready:
            return None
        match self._process.stdout.readline().split():
            case [b"born", pid]:
                return int(pid)
            case [b"died", pid, code]:
                self._codes[int(pid)] = int(code)
                return None
            case _:
                raise ServerFailed("the nursery is gone")


class Child:
    """As much of ``subprocess.Popen`` as ``ServerProcess`` needs."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        return self._nursery.code(self.pid, 0)

    def wait(self, timeout: float = math.inf) -> int:
        code = self._nursery.code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired("legato serve", timeout)
        return code

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkedServer(ServerProcess):
    """A ``ServerProcess`` whose processes come from ``nursery``, but for those with a failure point."""

    def __init__(
        self,
        nursery: Nursery,
        database_url: str,
        env: Mapping[str, str] | None = None,
        *,
        host: str = "127.0.0.1",
        args: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        super().__init__(database_url, env=env, host=host, args=args, log=log)
        self._nursery = nursery

    def launch(self) -> None:
        if FAILPOINT in self.env:
            super().launch()
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        child = self._nursery.fork(self._arguments, clean_environment() | self.env, self.log)
        self._process = cast("subprocess.Popen[bytes]", child)


def _main() -> None:
    """The nursery itself."""
    import asyncpg  # noqa: F401
    import pysqlite3.dbapi2  # noqa: F401
    import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401

    import legato.cli.serve  # noqa: F401

    gc.freeze()
    children: dict[int, int] = {}
    with open(_STDIN, "rb", buffering=0) as orders:
        while True:
            ready, _, _ = select.select([_STDIN, *children], [], [])
            for child in set(children) & set(ready):
                _bury(child, children.pop(child))
            if _STDIN in ready:
                if not (order := orders.readline()):
                    break
                pid = os.fork() or _serve(json.loads(order))
                children[os.pidfd_open(pid)] = pid
                print("born", pid, flush=True)
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)


def _bury(child: int, pid: int) -> None:
    os.close(child)
    print("died", pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _serve(order: dict[str, Any]) -> NoReturn:
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
