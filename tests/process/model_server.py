"""The scripted upstream in a process of its own, so that whoever is killed here takes no model with it."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

_ROOT: Final = Path(__file__).parents[2]
_LOG: Final = _ROOT / ".artifacts" / "servers" / f"{os.getpid()}-model.log"
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 30.0


class ModelServer:
    """``python -m tests.support.upstream``; ``environment`` makes a Legato server talk to it."""

    def __init__(self) -> None:
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": self.url}

    def exchanges(self) -> list[dict[str, Any]]:
        """What was asked, and what became of it (``Exchange.told``)."""
        # Asked in loops: httpx2 would load every certificate of the machine each time.
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/exchanges")
            told: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return told

    def with_outcome(self, outcome: str) -> tuple[str, ...]:
        return tuple(str(exchange["asked"]) for exchange in self.exchanges() if exchange["outcome"] == outcome)

    def wait_closed(self, asked: str, within_s: float = 20) -> float:
        """Returns when the answer to ``asked`` is no longer streaming: after how many seconds.

        Raises:
            TimeoutError: it still is.
        """
        began = time.monotonic()
        while asked in self.with_outcome("running"):
            if time.monotonic() - began > within_s:
                raise TimeoutError(f"{asked!r} is still streaming")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.upstream"]
        _LOG.parent.mkdir(parents=True, exist_ok=True)
        with _LOG.open("ab") as log:  # every client that is killed makes it complain
            self._process = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()  # "upstream http://127.0.0.1:P/v1"
        self.url = said.split()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
