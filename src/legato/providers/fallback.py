"""Another model answers when the one that was asked can't (promise A-05).

Only before the first token: what was streamed can't be taken back. Only where another model can help: what the model
that was asked for refuses is our own fault (the request, the credentials, the address), and hiding that helps nobody. Who
took over answers for ten minutes, so that not every turn waits for a model that is away; then the first one gets its
chance. All of it is known to this process only.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Final

import msgspec

from legato.core.errors import ProviderError, ProviderRefused
from legato.core.files import capability
from legato.providers.catalog import Catalog, ModelInfo
from legato.providers.circuit import Circuit
from legato.providers.port import Delta, ModelDelta, ModelRequest, Provider

STICKY_S: Final = 600.0

_log: Final = logging.getLogger(__name__)


class Fallbacks:
    """The models that have fallbacks. ``provider`` finds a model's own, ``clock_s`` is monotonic."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        provider: Callable[[str], Provider],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self.provider = provider
        self.clock_s = clock_s
        self._circuits: dict[str, Circuit] = {}
        self._made: dict[str, Fallback] = {}

    def of(self, model_id: str) -> Provider:
        """The provider to ask for this model: one that knows its fallbacks, if there are any."""
        if not self.catalog.fallbacks(model_id):
            return self.provider(model_id)
        if model_id not in self._made:
            self._made[model_id] = Fallback(model_id, self)
        return self._made[model_id]

    def circuit(self, model_id: str) -> Circuit:
        """A model's, whoever it answers for."""
        return self._circuits.setdefault(model_id, Circuit(self.clock_s))


class Fallback:
    """The provider of one model and its fallbacks. Says first, by a ``ModelDelta``, when it isn't that model that answers."""

    def __init__(self, asked: str, all_of_them: Fallbacks) -> None:
        self.name = asked.partition(":")[0]
        self._asked = asked
        self._all = all_of_them
        self._instead: str | None = None
        self._until_s = 0.0

    async def start(self) -> None:
        """The providers are started by themselves."""

    async def stop(self) -> None:
        """And stopped."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See ``Provider.stream``.

        Raises:
            ProviderError: none answers; it is what the model that was asked for failed with, if it was asked.
        """
        failures: dict[str, ProviderError] = {}
        for model_id in self._candidates(request):
            provider = self._all.provider(model_id)
            async with aclosing(provider.stream(self._request(model_id, request))) as deltas:
                try:
                    first = await anext(deltas)
                except ProviderError as error:
                    self._failed(model_id, error)
                    failures[model_id] = error
                    continue
                self._answers(model_id)
                if model_id != self._asked:
                    yield ModelDelta(model_id)
                yield first
                async for delta in deltas:
                    yield delta
                return
        raise failures.get(self._asked) or next(iter(failures.values()))

    def _candidates(self, request: ModelRequest) -> list[str]:
        """Whom to ask, in this order: who stands in at present, the model itself, the others; but none that is left alone."""
        fit = [self._asked, *self._fit(request)]
        if self._instead in fit and self._all.clock_s() < self._until_s:
            fit = list(dict.fromkeys([self._instead, *fit]))
        return [model_id for model_id in fit if not self._all.circuit(model_id).open] or [self._asked]

    def _fit(self, request: ModelRequest) -> Iterator[str]:
        """The fallbacks that can do what is asked for."""
        needs = {name for name, needed in (("tools", request.tools), ("prefill", request.prefill)) if needed}
        needs |= {capability(file.media_type) for message in request.messages for file in message.files}
        for model_id in self._all.catalog.fallbacks(self._asked):
            info = self._all.catalog.get(model_id)
            room = self._room(info, request)
            if needs <= set(info.capabilities) and (room is None or room >= (request.max_tokens or 1)):
                yield model_id

    def _room(self, info: ModelInfo, request: ModelRequest) -> int | None:
        """What the prompt leaves in another model's window."""
        if request.room is None:
            return None
        return request.room + info.context_window - self._all.catalog.get(self._asked).context_window

    def _request(self, model_id: str, request: ModelRequest) -> ModelRequest:
        """The request for another model; another provider would not know the options, and might refuse them."""
        if model_id == self._asked:
            return request
        provider, _, model = model_id.partition(":")
        info = self._all.catalog.get(model_id)
        limits = [limit for limit in (request.max_tokens, info.max_output_tokens) if limit is not None]
        return msgspec.structs.replace(
            request,
            model=model,
            room=self._room(info, request),
            max_tokens=min(limits) if request.max_tokens is not None else None,
            options=request.options if provider == self.name else {},
        )

    def _failed(self, model_id: str, error: ProviderError) -> None:
        """Raises the error where another model can't help."""
        if isinstance(error, ProviderRefused) and model_id == self._asked:
            raise error
        _log.warning("model %s, asked for %s: %s", model_id, self._asked, error.code)
        self._all.circuit(model_id).failed()
        if model_id == self._instead:
            self._instead = None

    def _answers(self, model_id: str) -> None:
        now_s = self._all.clock_s()
        if model_id == self._asked:
            self._instead = None
        elif model_id != self._instead or now_s >= self._until_s:
            self._instead, self._until_s = model_id, now_s + STICKY_S
