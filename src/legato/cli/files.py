"""Files of a person's: what a command writes stands there only when it is whole, and takes the place of nothing unasked."""

import errno
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import typer

from legato.cli.connection import REFUSED
from legato.cli.terminal import printable


@contextmanager
def told_of(path: Path | None) -> Generator[None, None, None]:
    """Tells in one line what is wrong with a file (None: the standard output), and leaves with status 1."""
    try:
        yield
    except OSError as error:
        if path is None and error.errno == errno.EPIPE:  # who reads has read enough
            raise
        why = error.strerror or str(error)
        typer.secho(f"legato: {printable(str(path or 'the standard output'))}: {why}", fg="red", err=True)
        raise typer.Exit(REFUSED) from error


@contextmanager
def written(path: Path | None, *, replace: bool) -> Generator[BinaryIO, None, None]:
    """The standard output, or a file that only its owner may read; one that exists gives way only to ``replace``."""
    with told_of(path):
        if path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe is not to be replaced
            with path.open("wb") as file:
                yield file
        else:
            with _whole(path.resolve(), replace=replace) as file:
                yield file


@contextmanager
def _whole(path: Path, *, replace: bool) -> Generator[BinaryIO, None, None]:
    _check(path, replace=replace)
    handle, name = tempfile.mkstemp(prefix=".legato-", suffix=".part", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        _check(path, replace=replace)
        os.replace(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _check(path: Path, *, replace: bool) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not replace:
        raise FileExistsError(errno.EEXIST, "it exists already; --force replaces it")
