"""The rules that sessions live by: what their agents say, applied where a session begins, where somebody comes to one, and by
duties that come past (promises S-04, S-05, S-06, S-09)."""

import asyncio
import contextlib
from collections.abc import Callable

from legato.agents.registry import AgentSpec, Registry
from legato.core.errors import ClockJumped, NotFound, Unavailable
from legato.core.model import Session
from legato.engine.publish import Publisher
from legato.engine.settings import EngineSettings
from legato.engine.tasks import report
from legato.store import lifecycle, retention, sessions
from legato.store.chores import Chore
from legato.store.ending import Meter
from legato.store.lifecycle import Policy
from legato.store.port import Store
from legato.store.rows import to_us
from legato.store.ticks import Boot, Told, this_boot

_DAY_US = 86_400_000_000
_AT_ONCE = 100
_TOGETHER = 16
_AGAIN_S = 5.0  # until a session that is to be closed is looked at again, while something runs in it


def policy_of(spec: AgentSpec, settings: EngineSettings) -> Policy:
    """What an agent says about its sessions, and the deployment where it says nothing."""
    days = settings.retention_days if spec.retention_days is None else spec.retention_days
    return Policy(
        single_current=spec.single_current,
        idle_us=None if spec.idle_close_s is None else int(spec.idle_close_s * 1_000_000),
        retention_us=None if days is None else int(days * _DAY_US),
        memory=bool(spec.memory),
    )


class Lifecycle:
    """``clock_us`` only tells when a look is worth it: what happens to a session is decided by the store's own clock."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        registry: Registry,
        meter: Meter,
        settings: EngineSettings,
        clock_us: Callable[[], int],
        boot: Boot | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._meter = meter
        self._clock_us = clock_us
        self.boot = boot or this_boot()
        self._policies = {spec.id: policy_of(spec, settings) for spec in registry.list()}
        self.ages_us = {
            name: age for name, policy in self._policies.items() if (age := policy.retention_us) is not None
        }
        #: For how long a jump of the clock must be remembered: as long as anything is kept.
        self.window_us = max(self.ages_us.values(), default=_DAY_US)
        self._longest_idle_us = max((p.idle_us or 0 for p in self._policies.values()), default=0)
        self._has_rules = any(p.idle_us is not None or p.retention_us is not None for p in self._policies.values())

    def policy(self, agent_id: str) -> Policy:
        """Of an agent; none of its own where it is not registered here."""
        return self._policies.get(agent_id) or Policy()

    async def begin(self, new: sessions.NewSession) -> lifecycle.Begun:
        """A new session, or the one of its context key; one that has grown too old by then makes place for a new one.

        Raises:
            SessionExists.
        """
        policy = self.policy(new.agent_id)
        if new.context is not None and self._has_rules:
            found = await self._store.read(lifecycle.of_context, new.owner, new.agent_id, new.context)
            if found is not None:
                await self._look_at(found)
        return await self._publisher.write(lifecycle.begin, new, policy)

    async def current(self, new: sessions.NewSession) -> lifecycle.Begun:
        """The owner's active session with an agent; ``new`` where there is none."""
        policy = self.policy(new.agent_id)
        found = await self._store.read(lifecycle.newest_active, new.owner, new.agent_id)
        if found is not None and not self._looks_old(found, policy):
            return lifecycle.Begun(found, created=False)
        if found is not None:
            await self._look_at(found)
        return await self._publisher.write(lifecycle.current, new, policy, self.boot, self._longest_idle_us)

    async def reopen(self, owner: str, session_id: str) -> Session:
        session = await self._store.read(sessions.get, session_id, owner)
        policy = self.policy(session.agent_id)
        return (await self._publisher.write(lifecycle.reopen, session_id, owner, policy)).session

    async def visit(self, owner: str, session_id: str) -> None:
        """Somebody comes to a session: what its rules say happens now, not when the next duty comes past.

        Where the store takes nothing (a full disk), it happens later, and who comes to read reads.
        """
        if not self._has_rules:
            return
        with contextlib.suppress(NotFound, Unavailable):  # for whoever asked to find out
            await self._look_at(await self._store.read(sessions.get, session_id, owner))

    async def close_idle(self) -> None:
        """The duty that closes what is silent for too long; nothing while the clock can't be trusted."""
        if not self._longest_idle_us or not (await self._look_for_closing()).sane:
            return
        for agent_id, policy in self._policies.items():
            if policy.idle_us is None:
                continue
            for session_id in await self._store.read(lifecycle.idle, agent_id, policy.idle_us, _AT_ONCE):
                with contextlib.suppress(NotFound):
                    await self._close_if_idle(session_id, policy)

    async def close(self, chore: Chore) -> float | None:
        """The chore of closing a session that was busy when another took its place."""
        session = await self._store.read(sessions.owned_by_anybody, chore.session_id)
        policy = self.policy(session.agent_id)
        visited = await self._publisher.write(lifecycle.close_as_asked, chore.session_id, policy)
        return _AGAIN_S if visited is None else None

    async def preview(self, owner: str, limit: int) -> tuple[int, list[Session]]:
        """How many of an owner's sessions are too old, and the oldest of them."""
        found = await self._store.read(retention.overdue, self.ages_us, limit, owner)
        return await self._store.read(retention.count, self.ages_us, owner), found

    async def prune_all(self, owner: str | None = None, most: int | None = None) -> int:
        """Remove what is too old, of one owner who asks for it or of all, at most so many; how many sessions went.

        Raises:
            ClockJumped: something is left, as how old anything is can't be told at the moment.
        """
        gone, last = 0, None
        while (left := _AT_ONCE if most is None else min(_AT_ONCE, most - gone)) and (
            found := await self._store.read(retention.overdue, self.ages_us, left, owner, last)
        ):
            last = found[-1]
            for start in range(0, len(found), _TOGETHER):  # so that they share commits
                few = found[start : start + _TOGETHER]
                gone += sum(await asyncio.gather(*(self._prune_or_say(session.id) for session in few)))
        if await self._store.read(retention.count, self.ages_us, owner) and not await self._is_sane():
            raise ClockJumped
        return gone

    async def count_overdue(self) -> retention.Size:
        """How many sessions are too old, of anybody's."""
        return await self._store.read(retention.size, self.ages_us)

    async def _prune_or_say(self, session_id: str) -> bool:
        try:
            return await self._prune(session_id, vouched=True)
        except Unavailable:
            raise
        except Exception as error:  # the others are too old, too
            report(error, f"session {session_id} can't be removed")
            return False

    async def _prune(self, session_id: str, *, vouched: bool) -> bool:
        try:
            gone = await self._publisher.remove(
                retention.prune, session_id, self.ages_us, self.boot, self.window_us, self._meter, vouched=vouched
            )
        except NotFound:
            return False
        return gone is not None

    async def _is_sane(self) -> bool:
        return (await self._store.write(retention.look, self.boot, self.window_us)).sane

    async def _look_at(self, session: Session) -> None:
        policy = self.policy(session.agent_id)
        too_old = policy.retention_us is not None and self._is_past(session, policy.retention_us)
        if too_old and not session.keep:
            few = await self._store.read(retention.are_few, self.ages_us)
            if await self._prune(session.id, vouched=few):
                return
        if policy.idle_us is not None and not session.read_only and self._is_past(session, policy.idle_us):
            await self._close_if_idle(session.id, policy)

    async def _close_if_idle(self, session_id: str, policy: Policy) -> None:
        await self._publisher.write(lifecycle.close_if_idle, session_id, policy, self.boot, self._longest_idle_us)

    async def _look_for_closing(self) -> Told:
        return await self._store.write(lifecycle.look, self.boot, self._longest_idle_us)

    def _looks_old(self, session: Session, policy: Policy) -> bool:
        return any(age is not None and self._is_past(session, age) for age in (policy.idle_us, policy.retention_us))

    def _is_past(self, session: Session, age_us: int) -> bool:
        return self._clock_us() - to_us(session.last_activity) >= age_us
