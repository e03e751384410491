"""One answer of a model's server, read piece by piece."""

import asyncio
import contextlib
import math
from typing import Final

import aiohttp

from legato.core.errors import ProviderCut, ProviderError, ProviderNonsense, ProviderTimeout
from legato.core.sse import DataParser
from legato.providers.interpreter import Interpreter
from legato.providers.port import Delta

_USAGE_S: Final = 5.0  # how long to wait for the usage after the model has stopped
_REUSE_S: Final = 0.1  # a connection whose body has ended serves the next turn; not worth a longer wait


class Answer:
    """A response that streams. ``close`` ends the connection at once, unless its body has been read."""

    def __init__(self, response: aiohttp.ClientResponse, interpreter: Interpreter) -> None:
        self._response = response
        self._parser = DataParser()
        self._interpreter = interpreter
        self._stopped = False
        self._ended = False
        self._silence = _Silence(response)

    def close(self) -> None:
        self._silence.over()
        self._response.close()

    async def read(self, timeout_s: float) -> list[Delta]:
        """The next deltas, one or more; none when the answer is over.

        Raises:
            ProviderTimeout: no delta came in time.
            ProviderCut: the stream ended before the answer did.
            ProviderError: whatever else the provider did wrong.
        """
        self._silence.may_last(timeout_s)
        try:
            while not self._ended:
                if deltas := await self._step():
                    return deltas
            return []
        finally:
            self._silence.counts_not()  # how long an agent thinks between two reads is its own affair

    async def _step(self) -> list[Delta]:
        interpreter = self._interpreter
        if not interpreter.finished:
            try:
                return interpreter.read([] if interpreter.failure else await self._events())
            except ProviderError:
                if interpreter.stop_reason is None:
                    raise
        self._ended = True
        self._silence.over()
        await self._drain()
        return interpreter.ending()

    async def _events(self) -> list[bytes]:
        """The data of the events that arrive next; once the model has stopped, only its usage is waited for."""
        if self._interpreter.stop_reason is not None and not self._stopped:
            self._stopped = True
            self._silence.may_last(_USAGE_S)
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise ProviderCut from error
        if not piece:
            raise ProviderCut
        try:
            return self._parser.feed(piece)
        except ValueError as error:
            raise ProviderNonsense("The model's provider sent an event too large to read.") from error

    async def _drain(self) -> None:
        with contextlib.suppress(ProviderTimeout, TimeoutError, aiohttp.ClientError, OSError, RuntimeError):
            async with asyncio.timeout(_REUSE_S):
                while await self._response.content.readany():
                    pass


class _Silence:
    """One timer an answer, which looks whether the deadline has moved: one a read costs more than the read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def may_last(self, seconds: float) -> None:
        """From now on; whoever reads when it lasts longer gets a ``ProviderTimeout``."""
        self._deadline_s = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline_s:
            self._arm()

    def counts_not(self) -> None:
        """Until the next ``may_last``."""
        self._deadline_s = math.inf

    def over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.over()
        self._timer = self._loop.call_at(self._deadline_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline_s == math.inf:
            return
        if self._loop.time() < self._deadline_s:
            self._arm()
        else:
            self._response.content.set_exception(ProviderTimeout("The model's provider fell silent in mid-answer."))
