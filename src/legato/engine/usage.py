"""What a turn used and what it costs: the provider's word where there is one, else an estimate, and marked so."""

from collections.abc import Iterable

import msgspec

from legato.core.model import Message, ReasoningPart, TextPart, ToolCallPart, Turn, Usage
from legato.core.tokens import estimate_tokens
from legato.providers.catalog import Catalog


def priced(steps: Iterable[tuple[str, Usage]], catalog: Catalog) -> tuple[tuple[str, Usage], ...]:
    """A turn's model calls, each with its model's id, and what each costs; None where there is no price."""
    return tuple(
        (model_id, msgspec.structs.replace(step, cost_usd=catalog.cost(model_id, step))) for model_id, step in steps
    )


def total(calls: Iterable[tuple[str, Usage]]) -> Usage | None:
    """The sum over a turn's model calls; the cost is None as soon as one of them has no price. None without any call."""
    whole: Usage | None = None
    for _, usage in calls:
        whole = usage if whole is None else _add(whole, usage)
    return whole


def _add(one: Usage, other: Usage) -> Usage:
    known = one.cost_usd is not None and other.cost_usd is not None
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        cost_usd=(one.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        estimated=one.estimated or other.estimated,
    )


class Estimate:
    """The meter (``store.ending.Meter``) for turns whose provider could not report: cancelled, rescued, without a model."""

    def __init__(self, *, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, turn: Turn, answers: tuple[Message, ...]) -> Usage:
        if turn.kind == "welcome" and turn.context is None:
            return Usage(cost_usd=0.0)  # ready-made words: nobody asked for them, and no model said them
        prompt = turn.context.tokens if turn.context else 0
        completion = sum(estimate_tokens(text) for answer in answers for text in _texts(answer))
        usage = Usage(prompt, completion, total_tokens=prompt + completion, estimated=True)
        cost = self._catalog.cost(turn.model_id, usage) if turn.model_id and turn.context else None
        return msgspec.structs.replace(usage, cost_usd=cost)


def _texts(message: Message) -> Iterable[str]:
    for part in message.parts:
        match part:
            case TextPart() | ReasoningPart():
                yield part.text
            case ToolCallPart():
                yield part.arguments
            case _:
                pass
