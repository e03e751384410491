"""Addresses at which no model will ever answer, each in its own way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.support.server import free_port

_HELLO_BYTES: Final = 4096
_PATIENCE_S: Final = 60.0


@contextmanager
def dead_ends() -> Iterator[dict[str, str]]:
    """Base URLs by name.

    ``refusing`` nobody listens; ``crowded`` the queue of those who wait is full; ``hanging-up`` the connection goes when
    TLS says hello; ``mute`` TLS says hello and hears nothing.
    """
    with ExitStack() as stack:
        crowded = stack.enter_context(_listening(backlog=0))
        stack.enter_context(_waiting(crowded))
        hanging_up = stack.enter_context(_listening())
        stack.enter_context(_hanging_up(hanging_up))
        mute = stack.enter_context(_listening())
        yield {
            "refusing": f"http://127.0.0.1:{free_port()}/v1",
            "crowded": f"http://127.0.0.1:{_port(crowded)}/v1",
            "hanging-up": f"https://127.0.0.1:{_port(hanging_up)}/v1",
            "mute": f"https://127.0.0.1:{_port(mute)}/v1",
        }


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@contextmanager
def _listening(backlog: int = 128) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        yield listener


@contextmanager
def _waiting(listener: socket.socket) -> Iterator[None]:
    """Fills the queue: whoever comes now gets no answer to his SYN."""
    with ExitStack() as stack:
        for _ in range(4):
            guest = stack.enter_context(socket.socket())
            guest.setblocking(False)
            guest.connect_ex(listener.getsockname())
        yield


@contextmanager
def _hanging_up(listener: socket.socket) -> Iterator[None]:
    def hang_up() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # it is over
            with connection:
                connection.settimeout(_PATIENCE_S)
                connection.recv(_HELLO_BYTES)

    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in accept
        thread.join()
