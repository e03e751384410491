"""Pure ASGI middleware that bounds what a request may send."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legato.web.problems import BodyTooLarge, of_error


class BodyLimit:
    """Refuses bodies of more than ``max_bytes``, declared or not."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await of_error(BodyTooLarge(limit=self._max_bytes))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise BodyTooLarge(limit=self._max_bytes)
            return message

        await self._app(scope, counted, send)
