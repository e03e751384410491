"""The client. ``Client`` in ``blocking`` is this one, driven from a thread without an event loop."""

import random as _random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import anyio

from legato.client.approving import Approving
from legato.client.bodies import EventsBody, SentBody, ViewBody
from legato.client.branching import Branching
from legato.client.deleting import Deleting
from legato.client.files import Files, message_of
from legato.client.http import Http, Notice, decode
from legato.client.living import Living
from legato.client.memories import MemoryCalls
from legato.client.model import Agent, Hint, Model, Page, Sent, View
from legato.client.patience import Ambient, Patience
from legato.client.position import Position
from legato.client.searching import Searching
from legato.client.spending import Spending
from legato.client.stream import Stream
from legato.client.transfer import Transfer
from legato.client.watching import AsyncAnswer
from legato.core.cursor import Cursor, parse_cursor
from legato.core.errors import SessionExists, TurnNotQueued
from legato.core.events import Done, Event
from legato.core.files import File
from legato.core.ids import new_id
from legato.core.model import Message, Mode, Priority, Session, State, Stats, Turn
from legato.core.states import is_terminal
from legato.core.text import normalise

_MESSAGES_A_PAGE = 200


class AsyncClient(Living, Deleting, Branching, Approving, Searching, MemoryCalls, Spending, Transfer, Files):
    """A Legato server.

    Every call may raise an error of ``legato.core.errors`` as the server raised it, ``Unauthenticated`` and
    other ``RemoteError``s, ``Unreachable`` when there was no answer in time, and ``NotLegato``. Calls are
    repeated through lost connections and restarts for up to ``retry_for_s``; where a repeat could do harm
    (``clear``), only until a connection was made.

    ``base_url`` is where Legato is mounted, ``http://127.0.0.1:8321`` for instance. ``notify`` hears when a
    connection is lost and when it is back; it must not block. Seconds are explained in ``Patience``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        retry_for_s: float = 30.0,
        silence_s: float = 40.0,
        give_up_after_s: float | None = None,
        verify: ssl.SSLContext | bool = True,
        notify: Callable[[Notice], None] = lambda notice: None,
        clock: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        patience = Patience(
            timeout_s=timeout_s, retry_for_s=retry_for_s, silence_s=silence_s, give_up_after_s=give_up_after_s
        )
        self._http = Http(
            base_url,
            token=token,
            headers=headers,
            patience=patience,
            ambient=Ambient(clock=clock, sleep=sleep, random=random),
            notify=notify,
            verify=verify,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections. No turn ends by that."""
        with anyio.CancelScope(shield=True):
            await self._http.aclose()

    # What there is

    async def agents(self) -> list[Agent]:
        return (await self._http.call(Page[Agent], "GET", "/v1/agents")).data

    async def models(self) -> list[Model]:
        return (await self._http.call(Page[Model], "GET", "/v1/models")).data

    # Sessions

    async def create_session(
        self,
        agent_id: str | None = None,
        *,
        session_id: str | None = None,
        model_id: str | None = None,
        title: str | None = None,
        context: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        welcome: bool = True,
    ) -> Session:
        """A new session, or the one of its ``context`` key. The client makes its id: a repeated attempt can't make two.

        An agent that has a welcome opens it, unless ``welcome`` is False.
        """
        new = session_id or new_id("ses")
        body = _given(agent_id=agent_id, id=new, model_id=model_id, title=title, context=context, metadata=metadata)
        if not welcome:
            body["welcome"] = False
        try:
            return await self._http.call(Session, "POST", "/v1/sessions", body=body)
        except SessionExists:
            if session_id is not None:
                raise
            return (await self.session(new)).state.session  # an earlier attempt got through

    async def sessions(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        context: str | None = None,
        text: str | None = None,
        limit: int = 50,
    ) -> AsyncGenerator[Session, None]:
        """All sessions, the newest activity first, fetched ``limit`` at a time.

        ``status``: ``active``, ``closed``, ``archived`` or ``pinned``; ``text``: it is found in their titles or messages.
        """
        cursor: str | None = None
        while True:
            page = await self.sessions_page(
                status=status, agent_id=agent_id, context=context, text=text, limit=limit, cursor=cursor
            )
            for session in page.data:
                yield session
            if not page.has_more or page.next is None:
                return
            cursor = page.next

    async def sessions_page(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        context: str | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        asked = None if text is None else normalise(text)
        params = _given(status=status, agent_id=agent_id, context=context, text=asked, limit=str(limit), cursor=cursor)
        return await self._http.call(Page[Session], "GET", "/v1/sessions", params=params)

    async def session(self, session_id: str, *, limit: int | None = None) -> View:
        """State and cursor of one instant, with the newest ``limit`` messages (the server's choice: 100)."""
        params = {} if limit is None else {"limit": str(limit)}
        body = await self._http.call(ViewBody, "GET", _path(session_id), params=params)
        return View(body.state, parse_cursor(body.cursor))

    async def update_session(
        self,
        session_id: str,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        archived: bool | None = None,
        keep: bool | None = None,
        memory: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """Changes what is given. ``title=""`` takes the title away; ``metadata`` takes the place of all that there was."""
        body = _given(title=title, pinned=pinned, archived=archived, keep=keep, memory=memory, metadata=metadata)
        return await self._http.call(Session, "PATCH", _path(session_id), body=body)

    async def close(self, session_id: str) -> Session:
        return await self._http.call(Session, "POST", _path(session_id, "close"))

    async def reopen(self, session_id: str) -> Session:
        return await self._http.call(Session, "POST", _path(session_id, "reopen"))

    async def clear(self, session_id: str) -> None:
        """Empties the session and keeps it; running and waiting turns are cancelled."""
        await self._http.call(type(None), "POST", _path(session_id, "clear"), repeatable=False)

    async def stats(self, session_id: str) -> Stats:
        return await self._http.call(Stats, "GET", _path(session_id, "stats"))

    async def messages(self, session_id: str, *, limit: int | None = None) -> list[Message]:
        """The newest ``limit`` messages of the active branch (None: all), oldest first."""
        pages: list[list[Message]] = []
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _MESSAGES_A_PAGE if left is None else min(left, _MESSAGES_A_PAGE)
            page = await self.messages_page(session_id, limit=size, cursor=cursor)
            pages.append(page.data)
            left = None if left is None else left - len(page.data)
            if not page.has_more or page.next is None:
                break
            cursor = page.next
        return [message for page in reversed(pages) for message in page]

    async def messages_page(self, session_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Message]:
        """One page, oldest first; ``next`` leads to older ones."""
        params = _given(limit=str(limit), cursor=cursor)
        return await self._http.call(Page[Message], "GET", _path(session_id, "messages"), params=params)

    # Turns

    async def send(
        self,
        session_id: str,
        text: str,
        *,
        message_id: str | None = None,
        edits: str | None = None,
        mode: Mode = "queue",
        priority: Priority = "interactive",
        model_id: str | None = None,
        files: Sequence[File | str] = (),
    ) -> Sent:
        """Sends a message: its turn, and the position from which to follow.

        ``edits``: an earlier message of the person's, whose place it takes; what followed that one stays as another branch.
        Its files stay, unless ``files`` are given.
        Every attempt carries the same ``message_id`` (made here if not given), so that the message is
        accepted once whatever happens to the connection. Nobody waits for a turn of ``priority="background"``:
        it gives way to people. ``files`` were uploaded before (``upload``); with some, ``text`` may be empty.
        """
        body = {
            "message_id": message_id or new_id("msg"),
            **message_of(text, files),
            "mode": mode,
            "model_id": model_id,
        }
        if priority != "interactive":  # servers that know of none take any other send
            body["priority"] = priority
        if edits is not None:
            body["edits"] = edits
        return await self._send(_path(session_id, "turns"), body)

    async def continue_(self, session_id: str, turn_id: str, *, message_id: str | None = None) -> Sent:
        """A new turn that goes on after an answer that ended early. Raises Conflict: it is not the last one any more."""
        body = {"message_id": message_id or new_id("msg")}
        return await self._send(_path(session_id, "turns", turn_id, "continue"), body)

    async def retry(
        self, session_id: str, turn_id: str, *, message_id: str | None = None, model_id: str | None = None
    ) -> Sent:
        """A new turn that answers the same message again, with the model ``model_id`` if given."""
        body = {"message_id": message_id or new_id("msg"), **_given(model_id=model_id)}
        return await self._send(_path(session_id, "turns", turn_id, "retry"), body)

    async def _send(self, path: str, body: Mapping[str, Any]) -> Sent:
        sent = await self._http.call(SentBody, "POST", path, body=body)
        return Sent(sent.turn, parse_cursor(sent.cursor))

    async def turn(self, session_id: str, turn_id: str) -> Turn:
        return await self._http.call(Turn, "GET", _path(session_id, "turns", turn_id))

    async def cancel(self, session_id: str, turn_id: str) -> Turn:
        """Ends the turn for good; what it has said so far is kept."""
        return await self._http.call(Turn, "POST", _path(session_id, "turns", turn_id, "cancel"))

    async def withdraw(self, session_id: str, turn_id: str) -> Turn:
        """Takes a waiting turn back."""
        try:
            return await self._http.call(Turn, "DELETE", _path(session_id, "turns", turn_id))
        except TurnNotQueued:
            turn = await self.turn(session_id, turn_id)
            if turn.reason == "withdrawn":  # an earlier attempt got through
                return turn
            raise

    # Streams

    async def follow(
        self,
        session_id: str,
        *,
        after: Cursor | str | None = None,
        until: str | None = None,
        give_up_after_s: float | None = None,
    ) -> AsyncGenerator[tuple[Cursor, Event], None]:
        """The session's events, each once and in order, over any number of connections.

        ``after``: a cursor, ``"0"`` for the journal's beginning, None for a snapshot of now. Ends after the
        ``done`` of the turn ``until``, else never. A ``snapshot`` of a state replaces everything before it
        (``Fold`` knows). Close it (``contextlib.aclosing``) when you leave it early.

        Raises:
            Unreachable: no connection for ``give_up_after_s`` (by default the client's, by default never).
        """
        position = Position(after)

        async def over() -> bool:
            return until is not None and await self._nothing_left(session_id, until, position)

        stream = Stream(
            self._http,
            _path(session_id, "events"),
            lambda: {**position.params(), **({"until": until} if until else {})},
            over=over,
            give_up_after_s=self._http.patience.give_up_after_s if give_up_after_s is None else give_up_after_s,
        )
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                if (entry := position.advance(frame)) is not None:
                    yield entry
                    if isinstance(entry[1], Done) and entry[1].turn_id == until:
                        return

    async def _nothing_left(self, session_id: str, turn_id: str, position: Position) -> bool:
        """Whether the turn has ended, and its ``done`` lies before our position or was cleared."""
        if position.cursor is None or not is_terminal((await self.turn(session_id, turn_id)).status):
            return False
        after, has_more = str(position.cursor), True
        while has_more:
            page = await self._http.call(EventsBody, "GET", _path(session_id, "events"), params={"after": after})
            if any(event.ends(turn_id) for event in page.data):
                return False
            after, has_more = page.cursor, page.has_more
        return True

    async def answer(
        self,
        session_id: str,
        text: str,
        *,
        message_id: str | None = None,
        edits: str | None = None,
        mode: Mode = "queue",
        priority: Priority = "interactive",
        model_id: str | None = None,
        files: Sequence[File | str] = (),
    ) -> AsyncAnswer:
        """Sends a message, as ``send``; iterate over what comes back for the text of its answer."""
        sent = await self.send(
            session_id,
            text,
            message_id=message_id,
            edits=edits,
            mode=mode,
            priority=priority,
            model_id=model_id,
            files=files,
        )
        return self.watch(sent)

    def watch(self, sent: Sent, state: State | None = None) -> AsyncAnswer:
        """The answer of a turn that was accepted before, by ``send``, ``continue_`` or ``retry``.

        With a ``state`` (of the instant of ``sent.cursor``), what the answer has by then is in its ``text``
        at once.
        """
        return AsyncAnswer(self, sent, state)

    async def live(self) -> AsyncGenerator[Hint, None]:
        """What to fetch again to keep a list of sessions; ``refetch`` comes first, and after every gap."""
        stream = Stream(self._http, "/v1/events", give_up_after_s=self._http.patience.give_up_after_s)
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                if frame.event == "list":
                    yield decode(Hint, frame.data, "GET /v1/events")


def _path(session_id: str, *rest: str) -> str:
    return "/".join(["/v1/sessions", *(quote(part, safe="") for part in (session_id, *rest))])


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
