"""``legato memories``: what is remembered of you, to see, correct, forget and switch off."""

from itertools import islice
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, console, when, write_json
from legato.cli.terminal import printable
from legato.core.memory import Memory

Agent = Annotated[str | None, typer.Option(help="Only of this agent.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="The memory.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """See, correct and forget what is remembered of you, through a running server."""


@app.command("list")
def list_(
    url: Url = DEFAULT_URL,
    token: Token = None,
    agent: Agent = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.", show_default=False)] = None,
    session: Annotated[str | None, typer.Option(help="Only from this session.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List what is remembered, the newest first."""
    with told(), client_of(url, token) as client:
        found = client.memories(agent_id=agent, kind=kind, session_id=session, limit=min(limit, 200))
        memories = list(islice(found, limit))
        enabled = client.memory_enabled()
    if as_json:
        write_json(memories)
        return
    console().print(_table(memories) if memories else "Nothing is remembered.")
    if not enabled:
        console().print("Memory is switched off: none of it is given to agents, and nothing is added.")


@app.command()
def edit(
    memory_id: Id,
    text: Annotated[str, typer.Argument(help="What it says instead: one line.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Correct a memory; your text stays as it is."""
    with told(), client_of(url, token) as client:
        memory = client.edit_memory(memory_id, text)
    typer.echo(printable(f"{memory.kind}: {memory.text}"))


@app.command()
def forget(
    memory_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="The memories.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    agent: Annotated[str | None, typer.Option(help="With --all: only of this agent.", show_default=False)] = None,
) -> None:
    """Forget memories: their text is erased at once, and the same is not remembered again."""
    ids = memory_ids or []
    if everything == bool(ids) or (agent is not None and not everything):
        raise typer.BadParameter("give the ids of memories, or --all")
    with told(), client_of(url, token) as client:
        if everything:
            client.forget_memories(agent_id=agent)
        for memory_id in ids:
            client.forget_memory(memory_id)
    typer.echo("Forgotten.")


@app.command()
def on(url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Remember from now on, and give agents what is remembered."""
    _switch(url, token, on=True)


@app.command()
def off(url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Remember nothing, and give agents nothing; what is there stays until it is forgotten."""
    _switch(url, token, on=False)


def _switch(url: str, token: str | None, *, on: bool) -> None:
    with told(), client_of(url, token) as client:
        client.switch_memory(on)
    typer.echo(f"Memory is {'on' if on else 'off'}.")


def _table(memories: list[Memory]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("id", no_wrap=True)
    for name in ("kind", "text", "agent", "last said", "session"):
        table.add_column(name)
    for memory in memories:
        text = memory.text + (" (edited)" if memory.edited else "")
        cells = (memory.id, memory.kind, text, memory.agent_id, when(memory.changed_at), memory.session_id)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table
