"""A server whose wall clock a test sets while it runs, by libfaketime; its monotonic clock goes on as it should.

``python -m tests.process.faked_clock serve …`` is ``legato serve …`` that compacts and prunes all the time.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from tests.support.require import require_program, unavailable
from tests.support.server import ServerProcess

OFTEN_S: Final = 0.2
_ROOT: Final = Path(__file__).parents[2]


class FakedServer(ServerProcess):
    """A ``ServerProcess`` that lives by ``clock``."""

    def __init__(self, database_url: str, env: Mapping[str, str], *, clock: Path, log: Path) -> None:
        self.clock = clock
        self.set_clock("+0")
        faked = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # the name that the library itself reads
            # Else it shifts the deadlines by which Python's threads wait for the interpreter, and all of them spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "PYTHONPATH": str(_ROOT),
        }
        super().__init__(database_url, env={**env, **faked}, log=log)
        self._command[self._command.index("legato.cli")] = "tests.process.faked_clock"

    def set_clock(self, offset: str) -> None:
        """``+1h``, ``-1h``, ``+30d``: how far from the true time it is."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{offset}\n")
        os.replace(new, self.clock)  # it is read all the time, and never half written


def _library() -> str:
    """Where libfaketime is, by what its own wrapper tells its children."""
    command = [
        require_program("faketime"),
        "-f",
        "+0",
        sys.executable,
        "-c",
        "import os; print(os.environ['LD_PRELOAD'])",
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or unavailable(f"faketime does not work: {told.stderr.strip()}")


def _main() -> None:
    from legato.cli import main, serve
    from legato.engine.settings import EngineSettings

    hasty = partial(EngineSettings, compact_every_s=OFTEN_S, prune_every_s=OFTEN_S)
    setattr(serve, EngineSettings.__name__, hasty)
    main()


if __name__ == "__main__":
    _main()
