"""Anthropic's Messages API, at Anthropic or at a server that speaks its words."""

from collections.abc import Callable
from typing import Any, Final

from legato.providers.anthropic_body import encode_request, unsent
from legato.providers.anthropic_events import Events
from legato.providers.http import HttpProvider
from legato.providers.interpreter import Interpreter
from legato.providers.port import ModelRequest

_VERSION: Final = "2023-06-01"


class Anthropic(HttpProvider):
    """See ``HttpProvider``. ``most_tokens`` says how long a model's answer can be, None where that isn't known."""

    def __init__(self, *, most_tokens: Callable[[str], int | None] = lambda model: None, **common: Any) -> None:
        super().__init__(**common)
        self._most_tokens = most_tokens

    def _path(self) -> str:
        return "/messages"

    def _credentials(self) -> dict[str, str]:
        key = self._options.api_key
        return {"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {})

    def _encode(self, request: ModelRequest) -> bytes:
        return encode_request(request, self._most_tokens(request.model))

    def _interpreter(self, request: ModelRequest) -> Interpreter:
        return Events(unsent(request))
