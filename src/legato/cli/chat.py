"""``legato chat``: one question and its answer, or a conversation in the terminal."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, reach, told
from legato.cli.conversation import Conversation
from legato.cli.prompt import Prompt
from legato.cli.terminal import Terminal
from legato.client import Agent, AsyncClient
from legato.core.errors import AgentNotFound

_PATIENCE_S: Final = 60.0  # for one request; a server that is being restarted takes less


def chat(
    question: Annotated[
        list[str] | None, typer.Argument(help="Ask this, print the answer and leave. Else read from a pipe or ask.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    agent: Annotated[str | None, typer.Option(help="Who answers in a new session.", show_default=False)] = None,
    session: Annotated[str | None, typer.Option(help="Go on in this session.", show_default=False)] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="Attach an image, a PDF or a text to the message; may be repeated.", exists=True, dir_okay=False
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a session, instead of taking up the newest.")] = False,
) -> None:
    """Chat with an agent. Ctrl-C cancels an answer, a second one leaves. Questions of one command begin a session.

    Exit status: 0 answered, 1 not or not wholly answered, 3 no server there, 130 cancelled by Ctrl-C.
    """
    if session and new:
        raise typer.BadParameter("--session and --new exclude each other")
    text = _asked(question)
    terminal = Terminal(sys.stdout, sys.stderr)
    with told(), asyncio.Runner() as runner:
        client = AsyncClient(url, token=token, retry_for_s=_PATIENCE_S, notify=terminal.notice)
        conversation = Conversation(client, terminal, agent_id=agent, interactive=text is None)
        conversation.attached += file or []
        try:
            agents = runner.run(reach(client))
            terminal.is_connected = True
            _check(agent, agents)
            if text is not None:
                status = runner.run(_once(conversation, session, text))
            else:
                status = Prompt(client, conversation, terminal, runner, agents).converse(session, new=new)
        finally:
            runner.run(client.aclose())
    raise typer.Exit(status)


def _asked(words: list[str] | None) -> str | None:
    """The one question, from the command line or a pipe; None to converse."""
    if words:
        return " ".join(words)
    if sys.stdin.isatty():
        return None
    text = sys.stdin.read()
    if not text.strip():
        raise typer.BadParameter("nothing was asked, neither as an argument nor by the standard input")
    return text


def _check(agent_id: str | None, agents: list[Agent]) -> None:
    ids = [agent.id for agent in agents]
    if agent_id is not None and agent_id not in ids:
        raise AgentNotFound(f"There is no agent {agent_id!r} here, but: {', '.join(ids)}.")


async def _once(conversation: Conversation, session_id: str | None, text: str) -> int:
    if session_id is not None:
        await conversation.open(session_id)
    return await conversation.ask(text)
