"""A disk that is soon full: a file system in memory, which a test mounts and another file fills."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.require import require_program, unavailable

_BLOCK: Final = b"\0" * 4096


class SmallDisk:
    """``path`` is its only directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "somebody elses file"

    def fill(self) -> None:
        """Leaves not a byte."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        self._filler.unlink()


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """Needs root, and a kernel that lets it mount; else the test is skipped with the reason.

    Not below pytest's directories: PostgreSQL asks whether it could pass them as the user it is, whatever it may do.
    """
    mount, umount = require_program("mount"), require_program("umount")
    path = Path(tempfile.mkdtemp(prefix="legato-"))
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "legato-test", path], capture_output=True, text=True
    )
    if done.returncode:
        path.rmdir()
        unavailable(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        os.sync()
        subprocess.run([umount, "--lazy", path], check=True)
        path.rmdir()
