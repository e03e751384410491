"""The numbers of the HTTP side. Times are in seconds."""

import msgspec

from legato.core.files import MOST_BYTES


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    heartbeat_s: float = 15.0
    """E-05: nobody who waits, on a stream or by long-poll, hears nothing for longer; a proxy would give up on them."""
    retry_ms: tuple[int, int] = (1_000, 3_000)
    """The jittered range of ``retry:``."""
    max_body_bytes: int = 1 << 20
    """X-04."""
    max_file_bytes: int = MOST_BYTES
    """S-18: what ``POST /v1/files`` takes, and it alone; it waits in a file without a name."""
    max_import_bytes: int = 256 << 20
    """S-13: what ``POST /v1/import`` takes, and it alone; it waits in a file without a name."""
