"""The small model behind titles, memories and summaries: bounded in time and length, behind people's requests (G19)."""

import asyncio
from contextlib import aclosing
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, select

from legato.agents.registry import AgentSpec
from legato.agents.turn import Models
from legato.core.errors import ProviderNonsense
from legato.core.model import Session, Usage
from legato.core.prompt import PromptMessage
from legato.core.tokens import estimate_tokens
from legato.engine.tasks import Tasks
from legato.providers.port import ModelDelta, ModelRequest, StopDelta, TextDelta, UsageDelta
from legato.store import usage
from legato.store.dialect import utc_us
from legato.store.port import Store

SideKind = Literal["title", "memory", "summary"]

_TIMEOUT_S: Final = 30.0
_LEFT_AFTER: Final = 1.2  # of that: what does not even take a cancellation is left behind
_MOST_CHARS: Final = 16_000  # of an answer; whoever says more says nonsense


class SideModel:
    """Asks an agent's ``side_model``, else the model of the session, else what the agent has in its place (``side``)."""

    def __init__(self, *, store: Store, models: Models, tasks: Tasks, timeout_s: float = _TIMEOUT_S) -> None:
        self._store = store
        self._models = models
        self._tasks = tasks
        self._timeout_s = timeout_s

    async def ask(
        self, spec: AgentSpec, session: Session, kind: SideKind, system: str, text: str, *, max_tokens: int
    ) -> str | None:
        """What it answers; None where the agent has no model for it, or it does not come to its end, or answers with no text.

        Both texts count against the model's window. It has a task of its own: code that takes no cancellation holds up neither
        the next chore nor the shutdown.

        Raises:
            ProviderError, ModelNotFound, TimeoutError; whatever ``spec.side`` raises.
        """
        work = self._ask(spec, session, kind, system, text, max_tokens)
        asked = self._tasks.start(work, f"small model for {session.id}")
        asked.add_done_callback(_heard)
        try:
            await asyncio.wait([asked], timeout=self._timeout_s * _LEFT_AFTER)
        finally:
            asked.cancel()
        if not asked.done() or asked.cancelled():
            raise TimeoutError
        said = asked.result()
        return said if isinstance(said, str) else None

    async def _ask(
        self, spec: AgentSpec, session: Session, kind: SideKind, system: str, text: str, max_tokens: int
    ) -> str | None:
        async with asyncio.timeout(self._timeout_s):
            model_id = spec.side_model or session.model_id or spec.model_id
            if model_id is None:
                return None if spec.side is None else await spec.side(system, text)
            return await self._ask_model(spec, session, kind, model_id, system, text, max_tokens)

    async def _ask_model(
        self, spec: AgentSpec, session: Session, kind: SideKind, model_id: str, system: str, text: str, max_tokens: int
    ) -> str | None:
        provider = self._models.provider(model_id)
        messages = (PromptMessage("system", system), PromptMessage("user", text))
        request = ModelRequest(
            model=model_id.partition(":")[2], messages=messages, max_tokens=max_tokens, background=True
        )
        said: list[str] = []
        reported: UsageDelta | None = None
        cut_off = False
        try:
            async with aclosing(provider.stream(request)) as upstream:
                async for delta in upstream:
                    if isinstance(delta, TextDelta):
                        said.append(delta.text)
                    elif isinstance(delta, StopDelta):
                        cut_off = delta.reason == "length"
                    elif isinstance(delta, UsageDelta):
                        reported = delta
                    elif isinstance(delta, ModelDelta):
                        model_id = delta.model_id
                    if sum(map(len, said)) > _MOST_CHARS:
                        raise ProviderNonsense("The small model does not stop.")
        finally:
            used = _used(reported, system + text, "".join(said))
            used = msgspec.structs.replace(used, cost_usd=self._models.catalog.cost(model_id, used))
            # Also when it timed out: a write that has begun is not cancelled.
            await self._store.write(_spent, session.owner, session.agent_id, model_id, kind, used)
        return None if cut_off else "".join(said)


def _heard(asked: "asyncio.Task[str | None]") -> None:
    """What it fails with when nobody waits for it any more is nobody's surprise."""
    if not asked.cancelled():
        asked.exception()


def _used(reported: UsageDelta | None, asked: str, said: str) -> Usage:
    if reported is not None:
        total = reported.prompt_tokens + reported.completion_tokens
        return Usage(reported.prompt_tokens, reported.completion_tokens, reported.cached_tokens, total)
    prompt, completion = estimate_tokens(asked), estimate_tokens(said)
    return Usage(prompt, completion, total_tokens=prompt + completion, estimated=True)


def _spent(conn: Connection, owner: str, agent_id: str, model_id: str, kind: str, used: Usage) -> None:
    now_us = conn.execute(select(utc_us())).scalar_one()
    usage.add(conn, owner, agent_id, model_id, kind, used, now_us)
