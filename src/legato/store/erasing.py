"""Stub until the branch `erase` is merged."""

import msgspec
from sqlalchemy import Connection

from legato.store import chores
from legato.store.ending import Meter
from legato.store.locked import Locked


class Gone(msgspec.Struct, frozen=True):
    session_id: str
    owner: str
    turn_ids: tuple[str, ...]


def make_unreachable(conn: Connection, session: Locked, meter: Meter, reason: str) -> Gone:
    chores.ask(conn, session.id, "erase")
    session.change(owner="", context=None)
    session.save()
    return Gone(session.id, session.owner, ())
