"""The client for code without an event loop: ``AsyncClient``, method by method, over a bridge."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self
from weakref import finalize

from anyio.from_thread import BlockingPortal, start_blocking_portal

from legato.client.answer import Piece
from legato.client.async_client import AsyncClient
from legato.client.bridge import Blocking, BlockingIterator, BlockingObject, Bridge
from legato.client.model import Sent
from legato.client.watching import AsyncAnswer
from legato.core.cursor import Cursor
from legato.core.model import Message, State, Turn

P = ParamSpec("P")


def _signed_as(
    method: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Gives a method the signature of another one."""
    return lambda _: _


class Answer(Bridge[AsyncAnswer]):
    """``AsyncAnswer`` without an event loop."""

    pieces = BlockingIterator(AsyncAnswer.pieces)
    updates = BlockingIterator(AsyncAnswer.updates)
    result = Blocking(AsyncAnswer.result)

    def __iter__(self) -> Iterator[Piece]:
        return self.pieces()

    @property
    def turn(self) -> Turn:
        return self._source.turn

    @property
    def message(self) -> Message | None:
        return self._source.message

    @property
    def text(self) -> str:
        return self._source.text

    @property
    def cursor(self) -> Cursor:
        return self._source.cursor

    @property
    def finished(self) -> bool:
        return self._source.finished


class Client(Bridge[AsyncClient]):
    """``AsyncClient`` without an event loop: the same parameters, methods and errors. Threads may share it.

    Its loop runs in a thread of its own until ``shutdown``, or the end of a ``with``.
    """

    agents = Blocking(AsyncClient.agents)
    models = Blocking(AsyncClient.models)
    create_session = Blocking(AsyncClient.create_session)
    sessions = BlockingIterator(AsyncClient.sessions)
    sessions_page = Blocking(AsyncClient.sessions_page)
    session = Blocking(AsyncClient.session)
    update_session = Blocking(AsyncClient.update_session)
    close = Blocking(AsyncClient.close)
    reopen = Blocking(AsyncClient.reopen)
    clear = Blocking(AsyncClient.clear)
    current_session = Blocking(AsyncClient.current_session)
    prune = Blocking(AsyncClient.prune)
    delete = Blocking(AsyncClient.delete)
    stats = Blocking(AsyncClient.stats)
    usage = Blocking(AsyncClient.usage)
    messages = Blocking(AsyncClient.messages)
    messages_page = Blocking(AsyncClient.messages_page)
    search = BlockingIterator(AsyncClient.search)
    search_page = Blocking(AsyncClient.search_page)
    saved_searches = Blocking(AsyncClient.saved_searches)
    save_search = Blocking(AsyncClient.save_search)
    delete_search = Blocking(AsyncClient.delete_search)
    branch_page = Blocking(AsyncClient.branch_page)
    switch = Blocking(AsyncClient.switch)
    pin = Blocking(AsyncClient.pin)
    summary = Blocking(AsyncClient.summary)
    fork = Blocking(AsyncClient.fork)
    queue = Blocking(AsyncClient.queue)
    amend = Blocking(AsyncClient.amend)
    send = Blocking(AsyncClient.send)
    continue_ = Blocking(AsyncClient.continue_)
    retry = Blocking(AsyncClient.retry)
    turn = Blocking(AsyncClient.turn)
    cancel = Blocking(AsyncClient.cancel)
    withdraw = Blocking(AsyncClient.withdraw)
    follow = BlockingIterator(AsyncClient.follow)
    answer = BlockingObject(AsyncClient.answer, Answer)
    live = BlockingIterator(AsyncClient.live)
    memories = BlockingIterator(AsyncClient.memories)
    memories_page = Blocking(AsyncClient.memories_page)
    edit_memory = Blocking(AsyncClient.edit_memory)
    forget_memory = Blocking(AsyncClient.forget_memory)
    forget_memories = Blocking(AsyncClient.forget_memories)
    memory_enabled = Blocking(AsyncClient.memory_enabled)
    switch_memory = Blocking(AsyncClient.switch_memory)
    approvals = Blocking(AsyncClient.approvals)
    approval = Blocking(AsyncClient.approval)
    decide = Blocking(AsyncClient.decide)
    grants = Blocking(AsyncClient.grants)
    revoke = Blocking(AsyncClient.revoke)
    export_session = BlockingIterator(AsyncClient.export_session)
    export_all = BlockingIterator(AsyncClient.export_all)
    import_file = BlockingIterator(AsyncClient.import_file)
    upload = Blocking(AsyncClient.upload)
    file = Blocking(AsyncClient.file)
    file_content = BlockingIterator(AsyncClient.file_content)
    delete_file = Blocking(AsyncClient.delete_file)

    @_signed_as(AsyncClient.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        source = AsyncClient(*args, **kwargs)  # raises before a thread is started
        thread = start_blocking_portal(name="legato-client")
        super().__init__(source, thread.__enter__())
        # Also when the client is dropped, and at the interpreter's exit while the thread can still answer.
        self._end = finalize(self, _end, source, self._portal, thread)

    def watch(self, sent: Sent, state: State | None = None) -> Answer:
        """The answer of a turn that was accepted before; see ``AsyncClient.watch``."""
        return Answer(self._source.watch(sent, state), self._portal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        """Ends what other threads wait for and closes the connections. No turn ends by that."""
        self._end()


def _end(source: AsyncClient, portal: BlockingPortal, thread: AbstractContextManager[BlockingPortal]) -> None:
    with suppress(
        RuntimeError
    ):  # dropped by a garbage collection in the loop's own thread, which can't wait for itself
        portal.call(source.aclose)
        portal.call(portal.stop, True)
        thread.__exit__(None, None, None)
