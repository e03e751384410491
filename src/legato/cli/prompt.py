"""The conversation's other half: a prompt, and what can be typed there besides messages."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio

from legato.cli.conversation import Conversation, Decision
from legato.cli.ending import CANCELLED_HERE
from legato.cli.terminal import Terminal, printable
from legato.client import Agent, AsyncClient
from legato.core.errors import Invalid, LegatoError
from legato.core.model import FilePart, Message, Session, State, TextPart
from legato.core.states import is_terminal

_PROMPT: Final = "> "
_RECENT: Final = 10
_HELP: Final = """\
:continue   go on after an answer that ended early
:retry      have the last message answered again
:edit TEXT  say this instead of the last message
:new        begin a session
:sessions   list the newest sessions
:file PATH  attach an image, a PDF or a text to the next message; without PATH drop what is attached
:open N     take up a session of that list (or give its id)
:quit       leave (also Ctrl-D)
Ctrl-C cancels an answer; a second one leaves. Everything else goes to the agent, "/" commands too; "::x" sends ":x"."""

_DECISIONS: Final[dict[str, Decision]] = {"y": "allow", "n": "deny", "a": "always"}

Command = Callable[[str], Coroutine[Any, Any, None]]


class Prompt:
    """Reads lines in the main thread, between the runs of the loop: so line editing and Ctrl-C are the system's own."""

    def __init__(
        self,
        client: AsyncClient,
        conversation: Conversation,
        terminal: Terminal,
        runner: asyncio.Runner,
        agents: list[Agent],
    ) -> None:
        self._client = client
        self._conversation = conversation
        self._terminal = terminal
        self._runner = runner
        self._agents = agents
        self._listed: list[Session] = []
        self._commands: dict[str, Command] = {
            "continue": self._continue,
            "retry": self._retry,
            "edit": self._edit,
            "new": self._new,
            "sessions": self._sessions,
            "open": self._open,
            "file": self._attach,
            "help": self._help,
        }

    def converse(self, session_id: str | None, *, new: bool) -> int:
        """Asks and answers until the person leaves; the exit status."""
        with suppress(ImportError):
            import readline  # noqa: F401 (gives input() its editing)
        self._runner.run(self._begin(session_id, new))
        asked_to_leave = False
        while not self._conversation.left:
            try:
                while self._conversation.asked is not None and not self._conversation.left:
                    self._answer()
                line = _read()
                asked_to_leave = False
                if line.strip() in (":quit", ":q", ":exit"):
                    return 0
                self._runner.run(self._do(line))
            except EOFError:
                self._terminal.note("")
                return 0
            except KeyboardInterrupt:
                self._terminal.note("")
                if asked_to_leave:
                    break
                asked_to_leave = True
                self._terminal.note("· Ctrl-C again leaves")
        return CANCELLED_HERE

    def _answer(self) -> None:
        """Has the person say whether what is asked is allowed; who has no answer leaves it to another device."""
        decision = _DECISIONS.get(_read("[y]es, [n]o, [a]lways, [l]ater? ").strip().lower()[:1])
        if decision is not None:
            self._runner.run(self._decided(decision))
        else:
            self._conversation.asked = None
            self._terminal.note("· it waits; `legato approvals` answers it")

    async def _decided(self, decision: Decision) -> None:
        try:
            await self._conversation.decide(decision)
        except LegatoError as error:
            self._terminal.note(f"! {error.message}")

    async def _begin(self, session_id: str | None, new: bool) -> None:
        names = ", ".join(f"{agent.name} (offline demo)" if agent.demo else agent.name for agent in self._agents)
        self._terminal.note(f"legato chat · {names} · :help")
        if session_id is None and not new:
            session_id = await self._newest()
        if session_id is not None:
            await self._take_up(session_id)
        else:
            await self._greet()

    async def _greet(self) -> None:
        """What the agent of a new session says by itself, and what could be asked."""
        agent = self._agent()
        if agent is None:
            return
        if agent.welcomes and agent.available:
            await self._conversation.begin()
        for suggestion in agent.suggestions:
            self._terminal.note(f"· {suggestion}")

    def _agent(self) -> Agent | None:
        """Who answers in a new session."""
        wanted = self._conversation.agent_id
        return next((agent for agent in self._agents if agent.id == wanted or (wanted is None and agent.default)), None)

    async def _newest(self) -> str | None:
        page = await self._client.sessions_page(status="active", agent_id=self._conversation.agent_id, limit=1)
        return page.data[0].id if page.data else None

    async def _do(self, line: str) -> None:
        """A command or a message. A refusal is told, and the conversation goes on."""
        try:
            if line.startswith(":") and not line.startswith("::"):
                name, _, rest = line[1:].partition(" ")
                await self._commands.get(name, self._unknown)(rest.strip())
            elif line.strip():
                await self._conversation.ask(line.removeprefix(":"))
        except LegatoError as error:
            self._terminal.note(f"! {error.message}")
            self._tell_attached()

    async def _unknown(self, rest: str) -> None:
        raise Invalid("There is no such command; :help lists them.")

    async def _help(self, rest: str) -> None:
        self._terminal.note(_HELP)

    async def _continue(self, rest: str) -> None:
        await self._conversation.go_on()

    async def _retry(self, rest: str) -> None:
        await self._conversation.try_again()

    async def _edit(self, rest: str) -> None:
        if not rest:
            raise Invalid("What would you rather say? :edit and the text.")
        await self._conversation.say_instead(rest)

    async def _new(self, rest: str) -> None:
        self._conversation.start_anew()
        self._terminal.note("· a new session begins with your next message")
        await self._greet()

    async def _sessions(self, rest: str) -> None:
        self._listed = (await self._client.sessions_page(limit=_RECENT)).data
        for number, session in enumerate(self._listed, 1):
            self._terminal.note(f"{number:3}  {session.id}  {_when(session)}  {session.title or '(no title)'}")

    async def _open(self, rest: str) -> None:
        if rest.isdecimal() and 0 < int(rest) <= len(self._listed):
            rest = self._listed[int(rest) - 1].id
        if not rest:
            raise Invalid("Which one? :sessions lists them.")
        await self._take_up(rest)

    async def _attach(self, rest: str) -> None:
        if not rest:
            self._conversation.attached.clear()
            self._terminal.note("· no file goes with your next message")
            return
        with suppress(OSError, RuntimeError):  # a name that is too long, the home of nobody
            path = await anyio.Path(rest).expanduser()
            if await path.is_file():
                self._conversation.attached.append(Path(path))
                self._tell_attached()
                return
        raise Invalid(f"There is no file {rest}.")

    def _tell_attached(self) -> None:
        if names := ", ".join(printable(each.name) for each in self._conversation.attached):
            self._terminal.note(f"· with your next message: {names} (:file alone drops what is attached)")

    async def _take_up(self, session_id: str) -> None:
        state = await self._conversation.open(session_id)
        self._terminal.note(f"· session {session_id}" + (f": {state.session.title}" if state.session.title else ""))
        for message in _last_exchange(state):
            self._terminal.note(f"{_PROMPT if message.role == 'user' else ''}{_text(message)}")
        await self._conversation.watch_running()


def _read(prompt: str = _PROMPT) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", file=sys.stderr, flush=True)  # input() would put it into the pipe, among the answers
    if line := sys.stdin.readline():
        return line.removesuffix("\n")
    raise EOFError


def _last_exchange(state: State) -> list[Message]:
    """The newest message of the person, and its answer if that is complete; a running one is shown as it goes on."""
    said = [message for message in state.messages if message.role == "user" or is_terminal(message.status)]
    starts = [number for number, message in enumerate(said) if message.role == "user"]
    return list(said[starts[-1] :]) if starts else []


def _text(message: Message) -> str:
    names = "".join(f"[{part.name}] " for part in message.parts if isinstance(part, FilePart))
    return printable(names + "".join(part.text for part in message.parts if isinstance(part, TextPart)))


def _when(session: Session) -> str:
    return session.last_activity.astimezone().strftime("%Y-%m-%d %H:%M")
