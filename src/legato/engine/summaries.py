"""Summaries, in the background: what was said long ago gives way to one before it would fall out of the prompt (promise C-03).

A round takes as many of the oldest turns as the small model can read at once, together with the summary that there is, and puts
a new one in its place; the next round goes on from there. Until it is written, a prompt drops what finds no room, as it would
without summaries: no turn waits for one (guarantee G19).
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Models
from legato.core.model import ContextInfo, Message
from legato.core.prompt import Budget, turn_cost
from legato.core.summary import MOST_TOKENS, SYSTEM, block, checked, tell
from legato.core.tokens import CountTokens
from legato.engine.chores import Duty
from legato.engine.side import SideModel
from legato.engine.tasks import log
from legato.store import summaries
from legato.store.chores import Chore
from legato.store.port import Store
from legato.store.summaries import Material

_OLDEST: Final = 100  # messages that a round looks at
_NEWEST: Final = 200  # messages that are looked at to tell whether it is time


class _Room(NamedTuple):
    """What a prompt of an agent's has, in tokens, and how they are counted."""

    tokens: int
    count: CountTokens
    capabilities: Collection[str]


class Summaries:
    """Writes them: ``duty`` is what the chores do."""

    def __init__(self, *, store: Store, side: SideModel, registry: Registry, models: Models) -> None:
        self._store = store
        self._side = side
        self._registry = registry
        self._models = models
        self.duty = Duty(kind="summary", work=self.summarise)

    async def summarise(self, chore: Chore) -> float | None:
        """One round; 0.0 where another one is to follow.

        Raises:
            SessionNotFound: it has been deleted. AgentNotFound, ModelNotFound: another process may have its agent. Whatever the
            model's provider raises.
        """
        found = await self._store.read(summaries.material, chore.session_id, _OLDEST, _NEWEST)
        spec = self._registry.get(found.session.agent_id)
        model_id = found.session.model_id or spec.model_id
        if spec.summarise_at is None or model_id is None or not spec.available or found.session.quarantined:
            return None
        model, count = self._models.catalog.get(model_id), self._models.catalog.counter(model_id)
        budget = Budget(model.context_window, spec.reserve)
        going = _going(found, spec, _Room(budget.prompt_tokens, count, model.capabilities))
        return await self._round(spec, found, going) if going else None

    async def _round(self, spec: AgentSpec, found: Material, going: int) -> float | None:
        turns = _turns(found.oldest[:going])
        if len(found.oldest) < going and len(turns) > 1:
            turns = turns[:-1]  # there may be more of it
        before = found.summary
        told = tell(before.text if before else None, turns)
        said = await self._side.ask(spec, found.session, "summary", SYSTEM, told.text, max_tokens=MOST_TOKENS)
        text = checked(said)
        if text is None:
            log.warning("no summary for %s: the small model did not write one", found.session.id)
            return None
        last, count = found.oldest[told.messages - 1], (before.messages if before else 0) + told.messages
        kept = await self._store.write(summaries.keep, found.session.id, last.id, count, text)
        return 0.0 if kept and told.messages < going else None


def is_time(spec: AgentSpec, sent: ContextInfo | None, answered: int) -> bool:
    """Whether a session is to be looked at after a turn, as what was ``sent`` and ``answered`` (in tokens) fills the prompt."""
    if spec.summarise_at is None or sent is None:
        return False
    return sent.dropped > 0 or sent.tokens + answered >= spec.summarise_at * sent.budget


def _going(found: Material, spec: AgentSpec, room: _Room) -> int:
    """How many of the oldest messages are to be summarised; 0 while there is no need.

    Then half of what fills the prompt stays, by tokens and by the agent's ``tail``, and the newest turn always.
    """
    full = (spec.summarise_at or 1.0) * room.tokens
    head = room.count(spec.system) + (room.count(block(found.summary.text)) if found.summary else 0)
    costs = [(len(turn), turn_cost(turn, room.count, room.capabilities)) for turn in _turns(found.newest)]
    many = bool(spec.tail) and found.count > spec.tail
    if not many and found.count == len(found.newest) and head + sum(cost for _, cost in costs) < full:
        return 0
    kept, spent = 0, head
    for count, cost in reversed(costs):
        spent += cost
        if kept and (spent > full / 2 or (spec.tail and kept + count > max(1, spec.tail // 2))):
            break
        kept += count
    return found.count - kept


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """What was asked, each with its answer: a question that is answered again must not be taken for told."""
    turns: list[list[Message]] = []
    for message in messages:
        if not turns or (message.role == "user" and turns[-1][-1].role == "assistant"):
            turns.append([])
        turns[-1].append(message)
    return turns
