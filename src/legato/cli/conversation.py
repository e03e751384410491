"""A session in a terminal: a message goes out, its answer is shown as it comes, Ctrl-C cancels it."""

import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import TaskGroup, TaskStatus

from legato.cli.ending import CANCELLED_HERE, exit_status, mark
from legato.cli.shown import Show, Shown
from legato.cli.terminal import Terminal, printable
from legato.client import AsyncAnswer, AsyncClient, File, Piece, Sent
from legato.core.errors import AlreadyDecided, Invalid, LegatoError
from legato.core.events import ApprovalEvent, Event, StatusUpdate, Token, ToolCall, ToolResult, Warning
from legato.core.model import Approval, State, Turn

_MOST_SHOWN = 200  # characters of a tool's input or output

Decision = Literal["allow", "deny", "always"]


class Conversation:
    """``session_id`` is None until the first message makes a session. ``left`` says that a second Ctrl-C came."""

    def __init__(
        self, client: AsyncClient, terminal: Terminal, *, agent_id: str | None = None, interactive: bool = False
    ) -> None:
        self._client = client
        self._terminal = terminal
        self.agent_id = agent_id
        self._interactive = interactive
        self.session_id: str | None = None
        self.last_turn: Turn | None = None
        self.left = False
        #: What is asked and not answered yet; the answer's showing stops for it.
        self.asked: Approval | None = None
        self._answer: AsyncAnswer | None = None
        self._shown = Shown()
        self.attached: list[Path] = []  # to the next message

    def start_anew(self) -> None:
        """The next message begins a session."""
        self.session_id = self.last_turn = None

    async def open(self, session_id: str) -> State:
        """Takes up a session; an answer that runs in it is for ``watch``."""
        state, _ = await self._client.session(session_id)
        self.session_id = session_id
        self.last_turn = next(iter(state.turns), None)
        return state

    async def watch_running(self) -> int | None:
        """Shows the answer that runs in the session, from its beginning, if one does."""
        return await self._watch(lambda turn: turn.status == "in_progress")

    async def decide(self, decision: Decision) -> int | None:
        """Answers what is asked, and shows how it goes on; where somebody was faster, too."""
        asked, self.asked, answer = self.asked, None, self._answer
        if asked is None or answer is None:
            return None
        try:
            await self._client.decide(asked.id, decision)
        except AlreadyDecided as error:
            self._terminal.note(f"! {error.message}")
        return await self._run(partial(_at_once, answer))

    async def begin(self) -> int | None:
        """Begins a session with an agent that speaks first, and shows what it says."""
        self.session_id = (await self._client.create_session(self.agent_id)).id
        return await self._watch(lambda turn: turn.kind == "welcome")

    async def _watch(self, wanted: Callable[[Turn], bool]) -> int | None:
        if self.session_id is None:
            return None
        state, cursor = await self._client.session(self.session_id)
        found = next((turn for turn in state.turns if wanted(turn)), None)
        self.asked = next((asked for asked in state.approvals if found and asked.turn_id == found.id), None)
        return (
            None
            if found is None
            else await self._run(partial(_at_once, self._client.watch(Sent(found, cursor), state)))
        )

    async def ask(self, text: str) -> int:
        """Sends ``text`` and shows its answer; the exit status it stands for."""
        return await self._run(partial(self._sent, partial(self._send, text)))

    async def go_on(self) -> int:
        """Continues the last answer."""
        turn = self._last()
        return await self._run(partial(self._sent, partial(self._client.continue_, turn.session_id, turn.id)))

    async def try_again(self) -> int:
        """Has the last message answered again."""
        turn = self._last()
        return await self._run(partial(self._sent, partial(self._client.retry, turn.session_id, turn.id)))

    async def say_instead(self, text: str) -> int:
        """Sends ``text`` in the place of the last message."""
        turn = self._last()
        if turn.kind == "welcome":
            raise Invalid("There is no message of yours here yet.")
        send = partial(self._client.send, turn.session_id, text, edits=turn.message_id)
        return await self._run(partial(self._sent, send))

    def _last(self) -> Turn:
        if self.last_turn is None:
            raise Invalid("There is no answer here yet.")
        return self.last_turn

    async def _send(self, text: str) -> Sent:
        files = [await self._uploaded(path) for path in self.attached]
        if self.session_id is None:
            # Somebody has a question: that is answered, not he welcomed.
            self.session_id = (await self._client.create_session(self.agent_id, welcome=False)).id
        sent = await self._client.send(self.session_id, text, files=files)
        self.attached.clear()
        return sent

    async def _uploaded(self, path: Path) -> File:
        """One that can't be read, or that no server takes, is attached no longer: it would have each message refused."""
        try:
            return await self._client.upload(path)
        except (Invalid, OSError) as error:
            self.attached = [each for each in self.attached if each != path]
            why = error.message if isinstance(error, Invalid) else error.strerror or str(error)
            raise Invalid(f"{printable(path.name)} can't be attached, and nothing was sent: {why}") from error

    async def _sent(self, send: Callable[[], Awaitable[Sent]]) -> AsyncAnswer:
        return self._client.watch(await send())

    async def _run(self, begin: Callable[[], Awaitable[AsyncAnswer]]) -> int:
        interrupted = anyio.Event()
        failure: LegatoError | BrokenPipeError | None = None
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, interrupted, tasks)
            try:
                answer = await begin()
                self.last_turn = answer.turn
                tasks.start_soon(self._cancel_after, interrupted, answer)
                await self._show(answer)
                self.last_turn = answer.turn
            except (LegatoError, BrokenPipeError) as error:
                failure = error  # raised outside, where no group of exceptions wraps it
            tasks.cancel_scope.cancel()
        if not isinstance(failure, BrokenPipeError):
            self._terminal.end()
        if failure is not None:
            raise failure
        if self.left:
            return CANCELLED_HERE
        return self._ended(self._last(), interrupted=interrupted.is_set())

    def _ended(self, turn: Turn, *, interrupted: bool) -> int:
        if self.asked is not None and self._interactive:
            return 0
        if told := mark(turn, can_go_on=self._interactive):
            self._terminal.note(told)
        return exit_status(turn, interrupted=interrupted)

    async def _listen(self, interrupted: anyio.Event, tasks: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        """The first Ctrl-C sets ``interrupted``, the second one ends everything here."""
        with anyio.open_signal_receiver(signal.SIGINT) as interrupts:
            task_status.started()
            async for _ in interrupts:
                if interrupted.is_set():
                    self.left = True
                    tasks.cancel_scope.cancel()
                    return
                interrupted.set()
                self._terminal.aside("· cancelling… (Ctrl-C again leaves)")

    async def _cancel_after(self, interrupted: anyio.Event, answer: AsyncAnswer) -> None:
        # Only asked for: what the turn said until it was cancelled is still on its way to us, and its end.
        await interrupted.wait()
        try:
            await self._client.cancel(answer.turn.session_id, answer.turn.id)
        except LegatoError as error:
            self._terminal.note(f"· it could not be cancelled: {error.message}")

    async def _show(self, answer: AsyncAnswer) -> None:
        if answer is not self._answer:
            self._answer, self._shown = answer, Shown()
            if answer.text:
                self._write(self._shown.take(Piece(answer.text, 0)))
        shown = self._shown
        if self.asked is not None and self._interactive:  # before we came
            self._terminal.note(f"? {self.asked.question}")
            return
        thinking: set[int] = set()
        async with aclosing(answer.updates()) as updates:
            async for event, piece in updates:
                if event is not None and getattr(event, "turn_id", None) == answer.turn.id:
                    self._tell(event, thinking)
                    if self.asked is not None and self._interactive:
                        return
                if piece is not None:
                    self._write(shown.take(piece))
        self._write(shown.settle())

    def _write(self, show: Show) -> None:
        if show.anew:
            self._terminal.end()
            self._terminal.note("· the answer begins anew:" if show.text else "· the answer was removed")
        self._terminal.say(show.text)

    def _tell(self, event: Event, thinking: set[int]) -> None:
        match event:
            case StatusUpdate():
                self._terminal.aside(f"· {event.phase}" + (f": {event.detail}" if event.detail else ""))
            case Token(kind="reasoning") if event.part not in thinking:
                thinking.add(event.part)
                self._terminal.aside("· thinking…")
            case ToolCall():
                self._terminal.aside(f"→ {event.name}({_short(event.arguments)})")
            case ToolResult():
                self._terminal.aside(f"← {'error: ' if event.is_error else ''}{_short(event.output)}")
            case ApprovalEvent():
                self._terminal.note(f"? {event.approval.question} ({event.approval.status})")
                self.asked = event.approval if event.approval.status == "pending" else None
            case Warning():
                self._terminal.note(f"! {event.message}")
            case _:
                pass


async def _at_once(answer: AsyncAnswer) -> AsyncAnswer:
    return answer


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN] + "…"
