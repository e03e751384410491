"""What every command has that talks to a running server: where it is, who asks, and how failure is told."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from anyio import move_on_after

from legato.client import Agent, AsyncClient, Unreachable
from legato.core.errors import LegatoError

DEFAULT_URL: Final = "http://127.0.0.1:8321"
REFUSED: Final = 1
UNREACHABLE: Final = 3
_FIRST_ANSWER_S: Final = 3.0

Url = Annotated[str, typer.Option(help="Where the server is.", envvar="LEGATO_URL")]
Token = Annotated[str | None, typer.Option(help="The server's token.", envvar="LEGATO_TOKEN", show_default=False)]


@contextmanager
def told() -> Generator[None, None, None]:
    """Tells an error in one line and leaves: with status 3 when there is no server, else with 1."""
    try:
        yield
    except LegatoError as error:
        typer.secho(f"legato: {error.message}", fg="red", err=True)
        if isinstance(error, Unreachable):
            typer.echo("Is it running? `legato serve` starts one; --url says where it is.", err=True)
            raise typer.Exit(UNREACHABLE) from error
        raise typer.Exit(REFUSED) from error


async def reach(client: AsyncClient) -> list[Agent]:
    """The server's agents; a server that is not there is told soon, and not after all the client's patience.

    Raises:
        LegatoError: as ``AsyncClient``.
    """
    with move_on_after(_FIRST_ANSWER_S):
        return await client.agents()
    raise Unreachable("The server does not answer.")
