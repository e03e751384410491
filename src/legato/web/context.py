"""What every route needs: who asks, and the engine."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from legato.engine.engine import Engine
from legato.web.auth import Authenticate, owner_of
from legato.web.settings import WebSettings


class Wiring(NamedTuple):
    """What the application was made with; ``engine`` raises NotStarted until Legato is."""

    engine: Callable[[], Engine]
    ready: Callable[[], bool]
    auth: Authenticate
    settings: WebSettings


class Context(NamedTuple):
    """One request's."""

    engine: Engine
    owner: str
    settings: WebSettings


async def _asker(request: Request) -> Context:
    wiring: Wiring = request.app.state.wiring
    owner = await owner_of(request, wiring.auth)
    return Context(wiring.engine(), owner, wiring.settings)


async def _context(request: Request) -> Context:
    asking = await _asker(request)
    if (session_id := request.path_params.get("session_id")) is not None:
        await asking.engine.lifecycle.visit(asking.owner, session_id)
    return asking


#: Authorised before anything else; a route without it serves nobody's data.
Asking = Annotated[Context, Depends(_context)]
#: The same where the store may be away: the route itself visits the session.
AskingAnyhow = Annotated[Context, Depends(_asker)]
