"""The doorbell of a store that only one process serves: there is nobody else to wake."""

from collections.abc import Iterable

from legato.doorbell.port import Heard


class LocalDoorbell:
    async def start(self, heard: Heard) -> None:
        """Nothing to listen to."""

    async def stop(self) -> None:
        """Nothing to close."""

    def ring(self, session_ids: Iterable[str]) -> None:
        """Nobody to tell."""
