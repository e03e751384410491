"""Branches and forks, what waits in a session, and what its prompt holds."""

from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec

from legato.client.bodies import ViewBody
from legato.client.http import Http
from legato.client.model import MessagePage, Page, View
from legato.core.cursor import parse_cursor
from legato.core.errors import SessionExists, SessionNotFound
from legato.core.ids import new_id
from legato.core.model import Message, Session, Summary, Turn
from legato.core.text import normalise

_LOOK_AGAIN_S: Final = 0.5


class Waiting(msgspec.Struct, frozen=True):
    """A turn that waits, and the message that it has brought (a retry and a welcome bring none)."""

    turn: Turn
    message: Message | None = None


class Branching:
    """What ``AsyncClient`` has for that."""

    _http: Http

    async def branch_page(
        self, session_id: str, through: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> MessagePage:
        """A page of the branch that goes ``through`` a message, up to the newest one below it; without, of the active one.

        Oldest first; ``next`` leads to older ones. ``branches`` has the siblings of each message that has any.
        """
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {}) | ({"leaf": through} if through else {})
        return await self._http.call(MessagePage, "GET", _path(session_id, "messages"), params=params)

    async def switch(self, session_id: str, message_id: str) -> View:
        """Makes the branch that goes through a message the active one; the session as it is then.

        Raises:
            TurnInProgress: something runs or waits.
        """
        body = await self._http.call(ViewBody, "PUT", _path(session_id, "leaf"), body={"message_id": message_id})
        return View(body.state, parse_cursor(body.cursor))

    async def pin(self, session_id: str, message_id: str, *, pinned: bool = True) -> Message:
        """Has a message never fall out of the prompt, or takes its pin away.

        Raises:
            TurnNotFinished: the turn that brought it waits or runs. ContextOverflow: too much would be pinned.
        """
        path = _path(session_id, "messages", message_id)
        return await self._http.call(Message, "PATCH", path, body={"pinned": pinned})

    async def summary(self, session_id: str) -> Summary:
        """What stands in the prompt for the oldest messages. Raises SummaryNotFound."""
        return await self._http.call(Summary, "GET", _path(session_id, "summary"))

    async def fork(
        self,
        session_id: str,
        message_id: str | None = None,
        *,
        title: str | None = None,
        new_session_id: str | None = None,
    ) -> Session:
        """A new session that goes on from a message (the last finished one), with copies of what led to it.

        A repeated attempt can't make two: the session has an id from the start, the client's if none is given. A fork of
        this session that has it already is returned.

        Raises:
            SessionExists: ``new_session_id`` is that of another session.
        """
        new = new_session_id or new_id("ses")
        body: dict[str, Any] = {"id": new} | _given(message_id=message_id, title=title)
        ambient = self._http.ambient
        deadline = ambient.clock() + self._http.patience.retry_for_s
        while True:
            try:
                return await self._http.call(Session, "POST", _path(session_id, "fork"), body=body)
            except SessionExists as error:
                taken = error
            # An earlier attempt has made it, or is about to, which may take longer than an answer may; or it died on the
            # way, and the server takes away what there was of it.
            with suppress(SessionNotFound):
                found = (await self._http.call(ViewBody, "GET", _path(new))).state.session
                if found.forked_from is None or found.forked_from.session_id != session_id:
                    raise taken
                return found
            if ambient.clock() >= deadline:
                raise taken
            await ambient.sleep(_LOOK_AGAIN_S)

    async def queue(self, session_id: str) -> list[Waiting]:
        """What waits, the next one first."""
        return (await self._http.call(Page[Waiting], "GET", _path(session_id, "queue"))).data

    async def amend(
        self, session_id: str, turn_id: str, *, text: str | None = None, before: str | None = None, last: bool = False
    ) -> Turn:
        """Changes what a waiting turn asks, or when it runs: ``before`` another one, or ``last``.

        Raises:
            TurnNotQueued: it runs, or has ended.
        """
        body = _given(text=None if text is None else normalise(text), before=before)
        return await self._http.call(
            Turn, "PATCH", _path(session_id, "turns", turn_id), body=body | ({"before": None} if last else {})
        )


def _path(session_id: str, *rest: str) -> str:
    return "/".join(["/v1/sessions", *(quote(part, safe="") for part in (session_id, *rest))])


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
