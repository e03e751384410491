"""What wakes those who wait in other processes. A doorbell may lose, double or reorder rings; it never carries data."""

from collections.abc import Callable, Iterable
from typing import Protocol

#: Called with the ids of sessions that have news, or None: look at everything.
Heard = Callable[[Iterable[str] | None], None]


class Doorbell(Protocol):
    """Rings go to the other processes; one's own readers are woken directly."""

    async def start(self, heard: Heard) -> None: ...

    async def stop(self) -> None: ...

    def ring(self, session_ids: Iterable[str]) -> None:
        """Tell the others, some time soon. Never waits and never fails."""
