"""Async made sync without writing it twice: methods of a source object, run in another thread's event loop.

    class Client(Bridge[AsyncClient]):
        agents = Blocking(AsyncClient.agents)            # the same parameters and result, blocking
        follow = BlockingIterator(AsyncClient.follow)    # an iterator of the same things
        answer = BlockingObject(AsyncClient.answer, Answer)     # an object that is itself a bridge

Signatures, types and docstrings are those of the source; a type checker sees them through ``ParamSpec``.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, cast, overload

import anyio
from anyio.from_thread import BlockingPortal

from legato.core.errors import Misuse

S = TypeVar("S")  # the source, whose methods are async
P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound="Bridge[Any]")

_END: Final = object()


class _Job(Generic[T]):
    """Work that can be cancelled even before it is known to have begun.

    The portal's own future is not enough: an interrupt may come while the thread waits to be given it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> T:
        with anyio.CancelScope() as self._scope:
            return await self._work()
        raise CancelledError  # nobody waits for it any more

    async def cancel(self) -> None:
        if self._scope is not None:
            self._scope.cancel()


class Bridge(Generic[S]):
    """A source object and the portal to the loop it lives in."""

    def __init__(self, source: S, portal: BlockingPortal) -> None:
        self._source = source
        self._portal = portal

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``work`` returns or raises. If this thread is interrupted (Ctrl-C), the work is cancelled.

        Raises:
            Misuse: the loop has been shut down, or this is its own thread.
        """
        job = _Job(work)
        try:
            return self._start(job.run).result()
        except CancelledError as error:
            raise Misuse("The client was shut down.") from error
        except Exception:
            raise
        except BaseException:
            self._start(job.cancel)
            raise

    def _start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        try:
            return self._portal.start_task_soon(work)
        except RuntimeError as error:
            raise Misuse(f"The client can't be used here and now: {error}.") from error

    def _iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        # An interrupted step may still be unwinding when we close: the lock makes closing wait for it.
        lock = anyio.Lock()

        async def step() -> object:
            async with lock:
                return await anext(items, _END)

        async def close() -> None:
            async with lock:
                await items.aclose()

        try:
            while (item := self._run(step)) is not _END:
                yield cast(T, item)
        finally:
            with suppress(Misuse):  # the loop is gone already, and has ended what ran in it
                self._run(close)


class _Descriptor:
    """Carries the docstring of the method it stands for."""

    def __init__(self, method: Callable[..., object]) -> None:
        self.__doc__ = method.__doc__
        self.__wrapped__ = method


class Blocking(_Descriptor, Generic[S, P, T]):
    """The method, waiting for its result."""

    def __init__(self, method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> None:
        super().__init__(method)
        self._method = method

    @overload
    def __get__(self, bridge: None, owner: object) -> Self: ...
    @overload
    def __get__(self, bridge: Bridge[Any], owner: object) -> Callable[P, T]: ...
    def __get__(self, bridge: Bridge[Any] | None, owner: object) -> Self | Callable[P, T]:
        if bridge is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return bridge._run(lambda: self._method(bridge._source, *args, **kwargs))

        return call


class BlockingIterator(_Descriptor, Generic[S, P, T]):
    """The async generator, as a generator. Closing it, or leaving a ``for`` over it, closes the source."""

    def __init__(self, method: Callable[Concatenate[S, P], AsyncGenerator[T, None]]) -> None:
        super().__init__(method)
        self._method = method

    @overload
    def __get__(self, bridge: None, owner: object) -> Self: ...
    @overload
    def __get__(self, bridge: Bridge[Any], owner: object) -> Callable[P, Generator[T, None, None]]: ...
    def __get__(self, bridge: Bridge[Any] | None, owner: object) -> Self | Callable[P, Generator[T, None, None]]:
        if bridge is None:
            return self

        def iterate(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
            return bridge._iterate(self._method(bridge._source, *args, **kwargs))

        return iterate


class BlockingObject(_Descriptor, Generic[S, P, T, B]):
    """The method, waiting for its result, which gets a bridge of its own."""

    def __init__(
        self,
        method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
        wrap: Callable[[T, BlockingPortal], B],
    ) -> None:
        super().__init__(method)
        self._method = method
        self._wrap = wrap

    @overload
    def __get__(self, bridge: None, owner: object) -> Self: ...
    @overload
    def __get__(self, bridge: Bridge[Any], owner: object) -> Callable[P, B]: ...
    def __get__(self, bridge: Bridge[Any] | None, owner: object) -> Self | Callable[P, B]:
        if bridge is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> B:
            source = bridge._run(lambda: self._method(bridge._source, *args, **kwargs))
            return self._wrap(source, bridge._portal)

        return call
