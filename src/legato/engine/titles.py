"""Titles, in the background: a small model is asked once; the day has to do where it fails, hangs or talks nonsense (T-01)."""

from typing import Final

from legato.agents.registry import AgentSpec, Registry
from legato.core.errors import AgentNotFound, LegatoError, Unavailable
from legato.core.model import TitleSource
from legato.core.titles import SYSTEM, as_data, checked, dated
from legato.engine.publish import Publisher
from legato.engine.side import SideModel
from legato.engine.tasks import log, report
from legato.store import titles
from legato.store.chores import Chore
from legato.store.port import Store
from legato.store.titles import Untitled

_MAX_TOKENS: Final = 1024  # few are a title's; the rest is for models that think before they speak
_MOST_TRIES: Final = 3  # then the day: whatever keeps a title from being made (a process that dies of it) has its limit


class Titles:
    """The duty of titles."""

    def __init__(self, *, store: Store, publisher: Publisher, registry: Registry, side: SideModel) -> None:
        self._store = store
        self._publisher = publisher
        self._registry = registry
        self._side = side

    async def title(self, chore: Chore) -> float | None:
        """Give a session its title, if it still has none; the seconds after which to try again, None when it is done.

        Raises:
            Unavailable: the store is away. SessionNotFound: it was deleted meanwhile. AgentNotFound: another process may have
            its agent.
        """
        found = await self._store.read(titles.untitled, chore.session_id)
        if found is None:
            return None
        spec = self._spec(found.session.agent_id, chore.tries)
        if spec is not None and not spec.titles:
            return None
        made = await self._made(spec, found) if spec is not None and chore.tries <= _MOST_TRIES else None
        source: TitleSource = "date" if made is None else "model"
        title = dated(found.session.created_at, found.locale) if made is None else made
        await self._publisher.write(titles.entitle, chore.session_id, title, source)
        return None

    def _spec(self, agent_id: str, tries: int) -> AgentSpec | None:
        """None where the day has to do, as nobody who has the agent came in time."""
        try:
            return self._registry.get(agent_id)
        except AgentNotFound:
            if tries < _MOST_TRIES:
                raise
            return None

    async def _made(self, spec: AgentSpec, found: Untitled) -> str | None:
        if not found.question.strip() or not spec.available:
            return None
        said = await self._asked(spec, found)
        return None if said is None else checked(said, found.question, found.answer)

    async def _asked(self, spec: AgentSpec, found: Untitled) -> str | None:
        """What the small model says; None where it has nothing to say, in whatever way.

        Raises:
            Unavailable: the store is away.
        """
        data = as_data(found.question, found.answer)
        try:
            return await self._side.ask(spec, found.session, "title", SYSTEM, data, max_tokens=_MAX_TOKENS)
        except Unavailable:
            raise
        except LegatoError as error:
            log.warning("no title for %s: %s", found.session.id, error.code)
        except TimeoutError:
            log.warning("no title for %s: the small model did not answer in time", found.session.id)
        except Exception as error:  # an agent's ``side`` may raise anything
            report(error, f"the title of {found.session.id}")
        return None
