"""Raw requests to a server in trouble: what it answers, to the letter, without a client that tries again."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx2

from legato.core.sse import Frame, Parser

_PATIENCE_S: Final = 60.0


class Reply(NamedTuple):
    """A whole answer. ``json`` is None where the body is no JSON."""

    status: int
    headers: httpx2.Headers
    text: str
    json: Any

    @property
    def code(self) -> str | None:
        return self.json.get("code") if isinstance(self.json, dict) else None


class Asking:
    """Requests to one server."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=_PATIENCE_S, trust_env=False)

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **headers: str) -> Reply:
        return _reply(await self._http.get(path, headers=headers))

    async def post(self, path: str, body: object = None) -> Reply:
        return _reply(await self._http.post(path, json=body))

    async def send(self, session_id: str, text: str) -> Reply:
        return await self.post(f"/v1/sessions/{session_id}/turns", {"text": text})

    async def stream(self, path: str, params: Mapping[str, str] | None = None) -> tuple[Reply, list[Frame]]:
        """A stream that the server ends: its frames, and the answer they came in."""
        async with self._http.stream("GET", path, params=params, headers={"Accept": "text/event-stream"}) as response:
            await response.aread()
        reply = _reply(response)
        is_stream = reply.headers["content-type"].startswith("text/event-stream")
        return reply, Parser().feed(reply.text.encode()) if is_stream else []


def _reply(response: httpx2.Response) -> Reply:
    is_json = "json" in response.headers.get("content-type", "")
    return Reply(response.status_code, response.headers, response.text, response.json() if is_json else None)
