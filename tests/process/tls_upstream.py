"""A model behind TLS that says a few words and then takes no notice of anything: it never reads again, and never says goodbye.

TLS ends with a farewell that each side waits for, if it is polite; whoever waits for this one's waits for long.
"""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.require import require_program

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_BEAT_S: Final = 0.05


class TlsUpstream:
    """``certificate`` is what a client must trust. ``gone`` is set when a client is, as the kernel sees it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.gone = threading.Event()
        self._over = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in accept
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it is over
            self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        """To ``vanish`` two words and the end of the connection, without TLS's farewell; to all else words for ever."""
        with self._context.wrap_socket(connection, server_side=True) as line:
            asked = _asked(line)
            line.sendall(_HEAD + _word("1 ") + _word("2 "))
            while asked != "vanish" and not self._over.wait(_BEAT_S):
                try:
                    line.sendall(_word("more "))
                except OSError:
                    self.gone.set()
                    return


@contextmanager
def tls_upstream(directory: Path) -> Iterator[TlsUpstream]:
    upstream = TlsUpstream(*_certificate(directory))
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.stop()


def _certificate(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = [require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def _asked(line: ssl.SSLSocket) -> str:
    with line.makefile("rb") as lines:
        length = 0
        while header := lines.readline().strip().lower():
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        return str(json.loads(lines.read(length))["messages"][-1]["content"])


def _word(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"
