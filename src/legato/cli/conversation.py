"""A session in a terminal: a message goes out, its answer is shown as it comes, Ctrl-C cancels it."""

import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus

from legato.cli.ending import CANCELLED_HERE, exit_status, mark
from legato.cli.shown import Show, Shown
from legato.cli.terminal import Terminal
from legato.client import AsyncAnswer, AsyncClient, Piece, Sent
from legato.core.errors import Invalid, LegatoError
from legato.core.events import Approval, Event, StatusUpdate, Token, ToolCall, ToolResult, Warning
from legato.core.model import State, Turn

_MOST_SHOWN = 200  # characters of a tool's input or output


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

    async def begin(self) -> int | None:
        """Begins a session with an agent that speaks first, and shows what it says."""
        self.session_id = (await self._client.create_session(self.agent_id)).id
        return await self._watch(lambda turn: turn.kind == "welcome")

    async def _watch(self, wanted: Callable[[Turn], bool]) -> int | None:
        if self.session_id is None:
            return None
        state, cursor = await self._client.session(self.session_id)
        found = next((turn for turn in state.turns if wanted(turn)), None)
        return None if found is None else await self._run(partial(_at_once, Sent(found, cursor)), state)

    async def ask(self, text: str) -> int:
        """Sends ``text`` and shows its answer; the exit status it stands for."""
        return await self._run(partial(self._send, text))

    async def go_on(self) -> int:
        """Continues the last answer."""
        turn = self._last()
        return await self._run(partial(self._client.continue_, turn.session_id, turn.id))

    async def try_again(self) -> int:
        """Has the last message answered again."""
        turn = self._last()
        return await self._run(partial(self._client.retry, turn.session_id, turn.id))

    def _last(self) -> Turn:
        if self.last_turn is None:
            raise Invalid("There is no answer here yet.")
        return self.last_turn

    async def _send(self, text: str) -> Sent:
        if self.session_id is None:
            # Somebody has a question: that is answered, not he welcomed.
            self.session_id = (await self._client.create_session(self.agent_id, welcome=False)).id
        files = [await self._client.upload(path) for path in self.attached]
        sent = await self._client.send(self.session_id, text, files=files)
        self.attached.clear()
        return sent

    async def _run(self, send: Callable[[], Awaitable[Sent]], state: State | None = None) -> int:
        interrupted = anyio.Event()
        failure: LegatoError | BrokenPipeError | None = None
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, interrupted, tasks)
            try:
                answer = self._client.watch(await send(), state)
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
        shown = Shown()
        if answer.text:
            self._write(shown.take(Piece(answer.text, 0)))
        thinking: set[int] = set()
        async with aclosing(answer.updates()) as updates:
            async for event, piece in updates:
                if event is not None and getattr(event, "turn_id", None) == answer.turn.id:
                    self._tell(event, thinking)
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
            case Approval():
                self._terminal.note(f"? {event.question} ({event.status})")
            case Warning():
                self._terminal.note(f"! {event.message}")
            case _:
                pass


async def _at_once(sent: Sent) -> Sent:
    return sent


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN] + "…"
