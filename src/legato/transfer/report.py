"""What an import has done, or would do."""

from collections.abc import Iterable

import msgspec

from legato.transfer.records import MOST_TOLD, Skipped


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """A session that came in: ``id`` is its new one (None in a dry run), ``origin`` what it was."""

    origin: str
    id: str | None
    title: str | None
    messages: int


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came in, what was there before (by ``origin``), and what was left out and why.

    ``skipped`` and the lists of sessions hold the first 1,000; ``skipped_count`` counts all.
    """

    dry_run: bool
    sessions: int
    messages: int
    known: int
    skipped_count: int
    imported: tuple[Imported, ...] = ()
    known_sessions: tuple[Imported, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is: bytes of the file that were read, of how many."""

    sessions: int
    messages: int
    known: int
    read_bytes: int
    total_bytes: int


class Tally:
    """A report in the making."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self.sessions = 0
        self.messages = 0
        self.known = 0
        self._skipped_count = 0
        self._imported: list[Imported] = []
        self._known: list[Imported] = []
        self._skipped: list[Skipped] = []

    def skip(self, skipped: Iterable[Skipped]) -> None:
        for each in skipped:
            self._skipped_count += 1
            if len(self._skipped) < MOST_TOLD:
                self._skipped.append(each)

    def came_in(self, session: Imported) -> None:
        self.sessions += 1
        self.messages += session.messages
        if len(self._imported) < MOST_TOLD:
            self._imported.append(session)

    def was_there(self, session: Imported) -> None:
        self.known += 1
        if len(self._known) < MOST_TOLD:
            self._known.append(session)

    def report(self) -> ImportReport:
        return ImportReport(
            dry_run=self._dry_run,
            sessions=self.sessions,
            messages=self.messages,
            known=self.known,
            skipped_count=self._skipped_count,
            imported=tuple(self._imported),
            known_sessions=tuple(self._known),
            skipped=tuple(self._skipped),
        )
