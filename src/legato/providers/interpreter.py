"""The events of one answer, told as deltas: what is the same whatever words a server streams in."""

from abc import ABC, abstractmethod
from typing import Final

from legato.core.errors import ProviderError
from legato.providers.port import Delta, StopDelta, UsageDelta

_MOST_TOKENS: Final = 1_000_000_000  # what is beyond is no count, and a database may have no room for it


class Interpreter(ABC):
    """Usage and the reason to stop are kept for ``ending``.

    ``finished`` once the server said so. ``failure`` is what the next ``read`` raises.
    """

    def __init__(self) -> None:
        self.finished = False
        self.stop_reason: str | None = None
        self.failure: ProviderError | None = None
        self.usage: UsageDelta | None = None

    def read(self, events: list[bytes]) -> list[Delta]:
        """The deltas in these events' data. What is wrong with one is raised after the deltas before it.

        Raises:
            ProviderNonsense: an event can't be understood.
            ProviderError: the server sent an error.
        """
        if self.failure is not None:
            raise self.failure
        deltas: list[Delta] = []
        for data in events:
            try:
                self._tell(data, deltas)
            except ProviderError as error:
                if not deltas:
                    raise
                self.failure = error
                break
            if self.finished:
                break
        return deltas

    def ending(self) -> list[Delta]:
        """The last deltas of an answer that came to its end."""
        stop = StopDelta(self.stop_reason or "stop")
        return [stop] if self.usage is None else [self.usage, stop]

    @abstractmethod
    def _tell(self, data: bytes, deltas: list[Delta]) -> None:
        """Adds what this event says. Raises ProviderError."""


def counted(prompt: int | None, completion: int | None, cached: int | None) -> UsageDelta | None:
    """What a provider counted; None where the counts can't be true: then they are estimated."""
    counts = (prompt or 0, completion or 0, cached or 0)
    return UsageDelta(*counts) if all(0 <= count <= _MOST_TOKENS for count in counts) else None
