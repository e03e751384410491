"""What the web and a host application ask for: sessions, turns, and the ways to follow them.

Every call names its owner, and everything is authorised where the row is read or locked: in the store, once.
"""

import hashlib
from typing import Any

import msgspec

from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Models
from legato.core import files
from legato.core.cursor import Cursor
from legato.core.errors import (
    AgentNotFound,
    AttachmentsTooLarge,
    AttachmentUnsupported,
    Corrupted,
    Invalid,
    SessionQuarantined,
)
from legato.core.ids import new_id
from legato.core.model import (
    FilePart,
    Message,
    Mode,
    Part,
    Priority,
    Session,
    State,
    Stats,
    Summary,
    TextPart,
    Turn,
    TurnKind,
)
from legato.core.prompt import Budget, build_prompt
from legato.engine.approvals import Approvals
from legato.engine.attachments import Attachments
from legato.engine.branches import Branches
from legato.engine.chores import Chores, asked_for_closing
from legato.engine.clearing import Clearing
from legato.engine.degraded import Degrading
from legato.engine.diagnostics import Diagnostics
from legato.engine.dispatch import Dispatcher
from legato.engine.exporting import Exporting
from legato.engine.forking import Forking
from legato.engine.hub import FIRST_BYTES, Chunk, Hub, after
from legato.engine.importing import Importing
from legato.engine.lifecycle import Lifecycle
from legato.engine.lists import Lists
from legato.engine.pins import Pins
from legato.engine.private import Private
from legato.engine.publish import Publisher
from legato.engine.quarantine import Quarantine
from legato.engine.queue import Queue, normalised
from legato.engine.run import Runner
from legato.engine.settings import EngineSettings
from legato.providers.catalog import ModelInfo
from legato.store import accepting, damaged, ending, erasing, journal, sessions, snapshots, summaries
from legato.store.chores import Kind
from legato.store.ending import Ending, Meter
from legato.store.lifecycle import Begun
from legato.store.locked import readable
from legato.store.port import Row, Store
from legato.store.sessions import NewSession
from legato.store.welcoming import Welcome

CONTINUE_TEXT = "Please go on exactly where you stopped."
CANCELLED = Ending(status="cancelled", reason="cancelled")


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be answered. ``edits``: the user's message beside which it goes, and what follows it from then on.

    ``keeps_files``: an edit of the words alone.
    """

    parts: tuple[Part, ...]
    message_id: str | None = None
    edits: str | None = None
    keeps_files: bool = False
    mode: Mode = "queue"
    priority: Priority = "interactive"
    model_id: str | None = None
    locale: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """The turn, where to follow it from, and whether it is new."""

    turn: Turn
    cursor: Cursor
    fresh: bool


class Engine:
    """The verbs."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        hub: Hub,
        lists: Lists,
        lifecycle: Lifecycle,
        runner: Runner,
        dispatcher: Dispatcher,
        registry: Registry,
        models: Models,
        meter: Meter,
        chores: Chores,
        approvals: Approvals,
        settings: EngineSettings,
        diagnostics: Diagnostics,
    ) -> None:
        self.store = store
        self.hub = hub
        self.lists = lists
        self.lifecycle = lifecycle
        self.approvals = approvals
        self.registry = registry
        self.models = models
        self.diagnostics = diagnostics
        self._publisher = publisher
        self._runner = runner
        self._dispatcher = dispatcher
        self._meter = meter
        self._chores = chores
        self._settings = settings
        self._clearing = Clearing(store=store)
        self.pins = Pins(publisher=publisher, registry=registry, models=models)
        self.queue = Queue(store=store, publisher=publisher, acceptable=self._check_words)
        self.quarantine = Quarantine(store=store, publisher=publisher)
        hub.on_damage = self.quarantine.hear
        self.branches = Branches(store=store, publisher=publisher, quarantine=self.quarantine)
        self.degrading = Degrading(
            store=store,
            registry=registry,
            models=models,
            tasks=publisher.tasks,
            limit=settings.max_degraded,
            close_s=settings.close_upstream_s,
        )
        self.exporting = Exporting(store=store, stopped=lambda: hub.stopped, on_damage=self.quarantine.hear)
        self.attachments = Attachments(store=store, tasks=publisher.tasks, settings=settings)
        self.importing = Importing(
            store=store,
            publisher=publisher,
            registry=registry,
            models=models,
            tasks=publisher.tasks,
            attachments=self.attachments,
            worker=lambda: dispatcher.worker_id,
        )
        self.importing.on_left = chores.due
        self.forking = Forking(store=store, publisher=publisher, importing=self.importing, policy=lifecycle.policy)

    def cursor(self, seq: int) -> Cursor:
        return Cursor(self.store.incarnation, seq)

    async def create_session(self, owner: str, agent_id: str | None = None, **fields: Any) -> Session:
        """``begin_session``, the session alone."""
        return (await self.begin_session(owner, agent_id, **fields)).session

    async def begin_session(self, owner: str, agent_id: str | None = None, **fields: Any) -> Begun:
        """A new session with an agent, the default one if none is named; ``fields`` as in ``store.sessions.NewSession``.

        With a ``context`` key that the owner has a session for already, it is that one. An agent that has a welcome opens it,
        in the language of ``locale`` if it can, unless ``welcome`` is False. ``session_id``: the caller's own.

        Raises:
            AgentNotFound, ModelNotFound, SessionExists.
        """
        return self._welcomed(await self.lifecycle.begin(self._new(owner, agent_id, **fields)))

    async def current_session(self, owner: str, agent_id: str | None = None, locale: str | None = None) -> Begun:
        """The owner's active session with an agent, a new one where there is none.

        Raises:
            AgentNotFound.
        """
        return self._welcomed(await self.lifecycle.current(self._new(owner, agent_id, locale=locale)))

    def _new(
        self,
        owner: str,
        agent_id: str | None,
        *,
        session_id: str | None = None,
        model_id: str | None = None,
        welcome: bool = True,
        locale: str | None = None,
        **fields: Any,
    ) -> NewSession:
        spec = self.registry.default() if agent_id is None else self.registry.get(agent_id)
        model_id = model_id or spec.model_id
        if model_id is not None and model_id != spec.model_id:
            self.models.provider(model_id)
        return NewSession(
            id=session_id or new_id("ses"),
            owner=owner,
            agent_id=spec.id,
            agent_name=spec.name,
            parent_role=spec.parent_role,
            model_id=model_id,
            welcome=_welcome(spec, model_id, locale) if welcome else None,
            **fields,
        )

    def _welcomed(self, begun: Begun) -> Begun:
        if begun.created and self.registry.get(begun.session.agent_id).welcome:
            self._dispatcher.wake(begun.session.id)  # it waits to be said
        if begun.created and self.lifecycle.policy(begun.session.agent_id).single_current:
            self._chores.due()  # facts are drawn from the one that it has closed
        return begun

    async def get_session(self, owner: str, session_id: str) -> Session:
        return await self.store.read(sessions.get, session_id, owner)

    async def change_session(self, owner: str, session_id: str, values: dict[str, Any]) -> Session:
        """Set what ``store.sessions.change`` knows.

        Raises:
            SessionNotFound.
        """
        asked = await self._asked_for_closing(owner, session_id) if values.get("closed") else {}
        changed = await self._publisher.write(sessions.change, session_id, owner, values, asked)
        if asked:
            self._chores.due()
        return changed.session

    async def _asked_for_closing(self, owner: str, session_id: str) -> dict[Kind, int]:
        try:
            return asked_for_closing(self.registry.get((await self.get_session(owner, session_id)).agent_id))
        except AgentNotFound:
            return {}

    async def clear(self, owner: str, session_id: str) -> None:
        """Empty a session and keep it. When this returns, nothing of what was said is left.

        Raises:
            SessionNotFound.
        """
        cleared = await self._publisher.write(ending.clear, session_id, owner, self._meter)
        for turn_id in cleared.turn_ids:
            self._runner.stop(turn_id)
        await self._clearing.remove(session_id)

    async def delete(self, owner: str, session_id: str) -> None:
        """When this returns, nobody can reach the session any more; its content is erased right after (guarantee G12).

        Raises:
            SessionNotFound.
        """
        gone = await self._publisher.remove(erasing.remove, session_id, owner, self._meter)
        for turn_id in gone.turn_ids:
            self._runner.stop(turn_id)
        self._chores.due()

    async def summary(self, owner: str, session_id: str) -> Summary:
        """What stands in the prompt for the oldest messages of the active branch.

        Raises:
            SessionNotFound, SummaryNotFound.
        """
        return await self.store.read(summaries.current, session_id, owner)

    async def stats(self, owner: str, session_id: str) -> Stats:
        return await self.store.read(sessions.stats, session_id, owner)

    async def snapshot(self, owner: str, session_id: str, limit: int = 100) -> tuple[State, Cursor]:
        """State and cursor of one instant; of what is damaged, that it is.

        Raises:
            SessionNotFound.
        """
        state, head = await self.quarantine.reading(
            session_id,
            lambda: self.store.read(snapshots.snapshot, session_id, owner, limit),
            lambda: self.store.read(damaged.snapshot, session_id, owner, limit),
        )
        return state, self.cursor(head)

    async def head(self, owner: str, session_id: str) -> int:
        """How far the session's journal goes now.

        Raises:
            SessionNotFound.
        """
        return int((await self.store.read(readable, session_id, owner)).head)

    async def rows(self, session_id: str, after_seq: int, wait_s: float) -> list[Row]:
        """Journal rows after a seq that ``head`` has authorised, waiting for some if there are none yet."""
        rows = await self._rows(session_id, after_seq)
        if not rows and wait_s > 0:
            with self.hub.reader(session_id, after_seq) as reader:
                await reader.next(wait_s)
            rows = await self._rows(session_id, after_seq)
        return [after(row, after_seq) for row in rows]

    async def _rows(self, session_id: str, after_seq: int) -> list[Row]:
        try:
            return await self.store.read(journal.read_rows, session_id, after_seq)
        except Corrupted as error:
            await self.quarantine.met(session_id, error)
            raise

    async def first(self, session_id: str, after_seq: int) -> Chunk:
        """What a reader begins with, after a seq that ``head`` has authorised and passed.

        Raises:
            Corrupted: there is nothing, or it is damaged.
        """
        chunk = await self.hub.read(session_id, after_seq, FIRST_BYTES)
        if chunk is None:
            raise Corrupted("rows are missing in the session's journal", session_id=session_id, after=after_seq)
        return chunk

    async def done_seq(self, owner: str, session_id: str, turn_id: str) -> int | None:
        """The seq of a turn's ``done``; None while it goes on.

        Raises:
            SessionNotFound, TurnNotFound.
        """
        return await self.store.read(snapshots.done_seq, session_id, owner, turn_id)

    async def send(self, owner: str, session_id: str, request: SendRequest) -> Sent:
        """Accept a message; when this returns, it and its turn survive kill -9 and power loss.

        Raises:
            SessionNotFound, SessionClosed, SessionQuarantined, MessageIdReused, QueueFull, TurnInProgress, ModelNotFound,
            Invalid; ContextOverflow: the message can't fit into the model's window;
            MessageNotFound, Invalid, Conflict: the message to edit is not there, nobody's question, or waits.
            FileNotFound, AttachmentUnsupported, AttachmentsTooLarge: of its files, one is not there, or the model can't take
            one, or all together.
        """
        if request.priority == "background":
            return await self._send(owner, session_id, request)
        with self._runner.precedence.awaited():  # from now on, not only when the turn runs
            return await self._send(owner, session_id, request)

    async def _send(self, owner: str, session_id: str, request: SendRequest) -> Sent:
        parts, edits = normalised(request.parts), request.edits
        kind: TurnKind = "send" if edits is None else "edit"
        keeps_files = request.keeps_files and edits is not None
        told = ("send",) if edits is None else ("edit", edits, "words" if keeps_files else "all")
        send = accepting.Send(
            session_id=session_id,
            owner=owner,
            client_message_id=request.message_id or new_id("msg"),
            body_hash=_hash(parts, request.mode, request.priority, request.model_id, *told),
            parts=parts,
            kind=kind,
            edits=edits,
            keeps_files=keeps_files,
            mode=request.mode,
            priority=request.priority,
            model_id=request.model_id,
            locale=request.locale,
            queue_limit=self._settings.queue_limit,
        )
        return await self._accept(send, self._check)

    async def answer_without_store(self, owner: str, session_id: str, request: SendRequest) -> Private | None:
        """For a send with a stream that has met Unavailable: an answer for its reader alone, where the agent wants that.

        Raises:
            SessionNotFound, SessionClosed, SessionQuarantined, Invalid, ContextOverflow, ModelNotFound.
        """
        parts = normalised(request.parts)
        if any(isinstance(part, FilePart) for part in parts):
            return None  # what is in them is in the store
        self._check_size(parts)
        return await self.degrading.answer(
            owner,
            session_id,
            parts,
            model_id=request.model_id,
            locale=request.locale,
            check=lambda session: self._check_context(session, request.model_id, parts),
        )

    async def go_on(self, owner: str, session_id: str, turn_id: str, message_id: str | None) -> Sent:
        """A new turn that asks the agent to continue the answer of an ended one.

        Raises:
            as ``send``, and TurnNotFound, TurnNotFinished; Conflict: it is not the last answer any more, or something waits.
        """
        parts = (TextPart(CONTINUE_TEXT),)
        return await self._again(owner, session_id, turn_id, message_id, "continue", parts)

    async def retry(
        self, owner: str, session_id: str, turn_id: str, message_id: str | None, model_id: str | None = None
    ) -> Sent:
        """A new turn that answers the message of an ended one again; the earlier answer leaves the active branch.

        ``model_id`` is of who answers now; a welcome keeps its model.

        Raises:
            as ``send``, and TurnNotFound, TurnNotFinished, MessageNotFound.
        """
        return await self._again(owner, session_id, turn_id, message_id, "retry", (), model_id)

    async def _again(
        self,
        owner: str,
        session_id: str,
        turn_id: str,
        message_id: str | None,
        kind: Any,
        parts: tuple[Part, ...],
        model_id: str | None = None,
    ) -> Sent:
        return await self._accept(
            accepting.Send(
                session_id=session_id,
                owner=owner,
                client_message_id=message_id or new_id("msg"),
                body_hash=_hash(parts, kind, turn_id, model_id),
                parts=parts,
                model_id=model_id,
                message_type="continue" if kind == "continue" else "message",
                kind=kind,
                source_turn_id=turn_id,
                queue_limit=self._settings.queue_limit,
            ),
            self._check_model,
        )

    async def _accept(self, send: accepting.Send, check: accepting.Check = lambda session, send: None) -> Sent:
        try:
            accepted = await self._dispatcher.accept(send, check)
        except Corrupted as error:
            await self.quarantine.met(send.session_id, error)
            raise SessionQuarantined from error
        self.degrading.knows(send.owner, send.session_id, accepted.turn.agent_id)
        if accepted.ended_turn_id is not None:
            self._runner.stop(accepted.ended_turn_id)
        if accepted.fresh and accepted.claimed is None:
            self._dispatcher.wake(send.session_id)
        return Sent(accepted.turn, self.cursor(accepted.cursor_seq), accepted.fresh)

    async def turn(self, owner: str, session_id: str, turn_id: str) -> Turn:
        """The turn as it stands, its phase included."""
        return await self.quarantine.reading(
            session_id,
            lambda: self.store.read(snapshots.turn, session_id, owner, turn_id),
            lambda: self.store.read(damaged.turn, session_id, owner, turn_id),
        )

    async def cancel(self, owner: str, session_id: str, turn_id: str) -> Turn:
        """End a turn for good, from any process. What it said stays. Idempotent.

        Raises:
            SessionNotFound, TurnNotFound.
        """
        ended = await self._publisher.write(ending.cancel, session_id, owner, turn_id, CANCELLED, self._meter)
        self._runner.stop(turn_id)
        self._dispatcher.ended(session_id)
        return ended.turn

    async def withdraw(self, owner: str, session_id: str, turn_id: str) -> Turn:
        """Take a waiting turn back.

        Raises:
            SessionNotFound, TurnNotFound, TurnNotQueued.
        """
        return (await self._publisher.write(ending.withdraw, session_id, owner, turn_id, self._meter)).turn

    def _check(self, session: Session, send: accepting.Send) -> None:
        """Refuse now what could never be answered. Runs in the accepting transaction: it looks at nothing but its arguments."""
        self._check_words(session, send.model_id, send.parts)

    def _check_model(self, session: Session, send: accepting.Send) -> None:
        """Of a retry: the message was taken before, but another model may not."""
        if send.model_id is not None:
            self._check_context(session, send.model_id, send.parts)

    def _check_words(self, session: Session, model_id: str | None, parts: tuple[Part, ...]) -> None:
        self._check_size(parts)
        self._check_files(parts)
        self._check_context(session, model_id, parts)

    def _check_size(self, parts: tuple[Part, ...]) -> None:
        said = sum(len(part.text) for part in parts if isinstance(part, TextPart))
        if said > self._settings.max_message_chars:
            raise Invalid(
                f"A message may have {self._settings.max_message_chars} characters; this one has {said}.",
                limit=self._settings.max_message_chars,
                given=said,
            )
        if not any(isinstance(part, FilePart) or (isinstance(part, TextPart) and part.text.strip()) for part in parts):
            raise Invalid("A message needs some text, or a file.")

    def _check_files(self, parts: tuple[Part, ...]) -> None:
        attached = [part for part in parts if isinstance(part, FilePart)]
        if len(attached) > self._settings.max_message_files:
            raise Invalid(
                f"A message may have {self._settings.max_message_files} files; this one has {len(attached)}.",
                limit=self._settings.max_message_files,
                given=len(attached),
            )
        size = sum(part.size for part in attached if part.media_type != files.TEXT)
        if size > files.MOST_SENT_BYTES:
            raise AttachmentsTooLarge(
                f"The images and documents of one message may have {files.MOST_SENT_BYTES >> 20} MiB together.",
                limit=files.MOST_SENT_BYTES,
                given=size,
            )

    def _check_context(self, session: Session, model_id: str | None, parts: tuple[Part, ...]) -> None:
        """Promise C-01."""
        if session.agent_id not in {spec.id for spec in self.registry.list()}:
            return
        spec = self.registry.get(session.agent_id)
        model_id = model_id or session.model_id or spec.model_id
        if model_id is None or not spec.available:
            return
        self.models.provider(model_id)
        model = self.models.catalog.get(model_id)
        _check_capabilities(model, parts)
        message = Message(
            id="",
            session_id="",
            turn_id="",
            role="user",
            status="queued",
            created_at=session.created_at,
            parts=parts,
        )
        budget = Budget(model.context_window, spec.reserve, spec.tail)
        counter = self.models.catalog.counter(model_id)
        build_prompt(spec.system, [message], budget, counter, capabilities=model.capabilities)


def _check_capabilities(model: ModelInfo, parts: tuple[Part, ...]) -> None:
    """Promise S-18: what a model can't take is refused, and not left out in silence."""
    for part in parts:
        if not isinstance(part, FilePart):
            continue
        wanted = files.capability(part.media_type)
        if wanted != "text" and wanted not in model.capabilities:
            raise AttachmentUnsupported(
                f"The model {model.id} can't take {part.name} ({part.media_type}).",
                model_id=model.id,
                file_id=part.file_id,
                media_type=part.media_type,
            )


def _welcome(spec: AgentSpec, model_id: str | None, locale: str | None) -> Welcome | None:
    if not spec.welcome or not spec.available:
        return None
    return Welcome(model_id=model_id if callable(spec.welcome) else None, locale=locale)


def _hash(parts: tuple[Part, ...], *rest: str | None) -> str:
    return hashlib.sha256(msgspec.json.encode([parts, rest])).hexdigest()
