"""The command line: each command in a file of its own, imported when it is used, so that ``chat`` starts fast."""

import sys
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context

# A function is a command, a Typer a group of them.
_COMMANDS: Final = {
    "serve": "legato.cli.serve:serve",
    "chat": "legato.cli.chat:chat",
    "sessions": "legato.cli.sessions:app",
    "search": "legato.cli.search:search",
    "memories": "legato.cli.memories:app",
    "approvals": "legato.cli.approvals:app",
    "usage": "legato.cli.usage:usage",
    "doctor": "legato.cli.doctor:doctor",
    "db": "legato.cli.db:app",
}


class _Lazy(TyperGroup):
    def list_commands(self, ctx: "Context") -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        if cmd_name not in self.commands and cmd_name in _COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return super().get_command(ctx, cmd_name)


def _load(name: str) -> "Command":
    module, _, attribute = _COMMANDS[name].partition(":")
    found: typer.Typer | Callable[..., Any] = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return get_command(alone)


app = typer.Typer(name="legato", cls=_Lazy, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _legato() -> None:
    """LLM conversations that stay unbroken."""


def main() -> None:
    """The entry point."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What is no UTF-8, or can't be, gets question marks, not a stack trace.
            stream.reconfigure(errors="replace")
    app()
