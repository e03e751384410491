"""A server whose system calls are written down (strace), and what they say about what was on disk when something was told."""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.require import require_program
from tests.support.server import ServerFailed, ServerProcess

_CALLS: Final = "write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync"
_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_WHOLE: Final = re.compile(r"(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+).*")
_BEGUN: Final = re.compile(r"(?P<name>\w+)\((?P<args>.*) <unfinished \.\.\.>")
_RESUMED: Final = re.compile(r"<\.\.\. (?P<name>\w+) resumed>.* = (?P<result>-?\d+).*")
_END_S: Final = 30.0


class Call(NamedTuple):
    """A system call: what it was given, and the lines of the trace where it was entered and where it returned."""

    name: str
    args: str
    begun: int
    ended: int
    result: int

    @property
    def of_wal(self) -> bool:
        return "-wal>" in self.args.partition(",")[0]

    @property
    def of_client(self) -> bool:
        return "<TCP:[" in self.args.partition(",")[0]


class TracedServer(ServerProcess):
    """A ``ServerProcess`` under strace, which runs beside it (``-D``): who is signalled is the server."""

    def __init__(self, database_url: str, env: Mapping[str, str], *, trace: Path, log: Path) -> None:
        super().__init__(database_url, env=env, log=log)
        self._trace = trace
        strace = [require_program("strace"), "-D", "-f", "-q", "-yy", "-s", "10000", "-e", f"trace={_CALLS}"]
        self._command = [*strace, "-o", str(trace), *self._command]

    def calls(self) -> list[Call]:
        """What it called, once it has ended."""
        deadline = time.monotonic() + _END_S
        while not re.search(r"\+\+\+ (exited|killed)[^\n]*\n\Z", text := self._trace.read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise ServerFailed("strace does not come to an end")
            time.sleep(0.05)
        return list(parsed(text))


def parsed(trace: str) -> Iterator[Call]:
    """The calls of a trace that have returned."""
    begun: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace.splitlines()):
        if (found := _LINE.fullmatch(line)) is None:
            continue
        pid, rest = found["pid"], found["rest"]
        if match := _BEGUN.fullmatch(rest):
            begun[pid] = (match["name"], match["args"], number)
        elif (match := _RESUMED.fullmatch(rest)) and pid in begun:
            name, args, at = begun.pop(pid)
            yield Call(name, args, at, number, int(match["result"]))
        elif match := _WHOLE.fullmatch(rest):
            yield Call(match["name"], match["args"], number, number, int(match["result"]))


def too_early(calls: list[Call], told: str, stored: str) -> str | None:
    """Why ``told`` went to a client before the log that holds ``stored`` was on disk; None when it did not."""
    sent = next((call for call in calls if call.of_client and told in call.args), None)
    if sent is None:
        return f"{told!r} was never told"
    written = next((call for call in calls if call.of_wal and "write" in call.name and stored in call.args), None)
    if written is None or written.ended >= sent.begun:
        return f"{told!r} was told before {stored!r} was written"
    for call in calls:
        of_it = call.of_wal and call.name in ("fsync", "fdatasync") and call.result == 0
        if of_it and written.ended < call.begun and call.ended < sent.begun:
            return None
    return f"{told!r} was told before {stored!r} was synced"
