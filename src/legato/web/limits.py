"""Pure ASGI middleware that bounds what a request may send."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legato.web.problems import BodyTooLarge, of_error


class BodyLimit:
    """Refuses bodies of more than ``max_bytes``, declared or not; ``other`` has the limits of paths with one of their own."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, other: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._other = other or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        limit = self._other.get(path, self._max_bytes)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await of_error(BodyTooLarge(limit=limit))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge(limit=limit)
            return message

        await self._app(scope, counted, send)
