"""The command line."""

import typer

from legato.cli.db import app as db
from legato.cli.doctor import doctor
from legato.cli.serve import serve

app = typer.Typer(name="legato", help="LLM conversations that stay unbroken.", no_args_is_help=True)
app.command()(serve)
app.command()(doctor)
app.add_typer(db, name="db")


def main() -> None:
    """The entry point."""
    app()
