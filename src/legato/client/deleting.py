"""Deleting sessions."""

from urllib.parse import quote

from legato.client.http import Http
from legato.core.errors import SessionNotFound


class Deleting:
    """What ``AsyncClient`` has to delete with."""

    _http: Http

    async def delete(self, session_id: str) -> None:
        """Deletes the session and all that was said in it, for good; running and waiting turns are cancelled.

        Raises:
            SessionNotFound: there is none (any more). Not after a repeat: then an earlier attempt got through.
        """
        path = f"/v1/sessions/{quote(session_id, safe='')}"
        await self._http.call(type(None), "DELETE", path, achieved=SessionNotFound)
