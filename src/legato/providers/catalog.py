"""Which models there are, how much fits into them, what they cost and how their tokens are counted.

What the configuration says about a model wins; then what is known offline about public providers
(``prices``); then, for a server of one's own, a conservative window and no price.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from legato.core.errors import ModelNotFound
from legato.core.model import Usage
from legato.core.prompt import CountTokens
from legato.core.tokens import estimate_tokens
from legato.providers import known, prices
from legato.providers.options import Capability, Positive, Settings
from legato.providers.tokenizers import openai_counter

Price = Annotated[float, msgspec.Meta(ge=0)]


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a configuration says about the model ``id`` (``provider:model``); None where it says nothing.

    ``fallbacks`` are models that answer in its place when it can't, the first one first.
    """

    id: str
    name: str | None = None
    context_window: Positive | None = None
    max_output_tokens: Positive | None = None
    cost_per_1m_input: Price | None = None
    cost_per_1m_output: Price | None = None
    cost_per_1m_cached: Price | None = None
    capabilities: tuple[Capability, ...] | None = None
    fallbacks: tuple[str, ...] = ()

    @property
    def has_price(self) -> bool:
        return self.cost_per_1m_input is not None or self.cost_per_1m_output is not None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model: windows in tokens, prices in USD per million tokens, None where they aren't known."""

    id: str
    name: str
    provider: str
    context_window: int
    max_output_tokens: int | None = None
    cost_per_1m_input: float | None = None
    cost_per_1m_output: float | None = None
    cost_per_1m_cached: float | None = None
    capabilities: tuple[Capability, ...] = ("text",)


class Catalog:
    """The models of ``providers``. ``entries`` say more about some; ``named`` are those that agents use.

    A provider with a list of ``models`` has no others; a public one has those that are known; any other
    server is taken at its word.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Settings],
        entries: Iterable[ModelEntry] = (),
        named: Iterable[str] = (),
    ) -> None:
        self._providers = dict(providers)
        self._entries = {entry.id: entry for entry in entries}
        listed = [f"{name}:{model}" for name, settings in providers.items() for model in settings.models]
        others = [model for entry in self._entries.values() for model in entry.fallbacks]
        self._listed = tuple(dict.fromkeys([*named, *self._entries, *others, *listed]))

    def get(self, model_id: str) -> ModelInfo:
        """The model with this id.

        Raises:
            ModelNotFound: there is none; the message names it.
        """
        provider, model = self._split(model_id)
        facts = prices.facts(provider.base_url, model)
        if model_id not in self._listed and (provider.models or not (facts or self._is_own(provider))):
            raise _not_found(model_id)
        entry = self._entries.get(model_id) or ModelEntry(id=model_id)
        return _info(entry, facts, provider)

    def fallbacks(self, model_id: str) -> tuple[str, ...]:
        """The models that answer in the place of this one when it can't; none if there is no such model."""
        entry = self._entries.get(model_id)
        return entry.fallbacks if entry is not None else ()

    def list(self) -> tuple[ModelInfo, ...]:
        """The models that the configuration names, in its order; ``get`` may know more."""
        return tuple(self.get(model_id) for model_id in self._listed)

    def cost(self, model_id: str, usage: Usage) -> float | None:
        """What this usage costs in USD; None where no price is known."""
        try:
            provider, model = self._split(model_id)
            if model_id in self._entries and self._entries[model_id].has_price:
                return _configured_cost(self.get(model_id), usage)
        except ModelNotFound:
            return None
        return prices.cost_usd(
            provider.base_url,
            model,
            prompt=usage.prompt_tokens,
            cached=min(usage.cached_tokens, usage.prompt_tokens),
            completion=usage.completion_tokens,
        )

    def counter(self, model_id: str) -> CountTokens:
        """Counts tokens of this model: with its own tokenizer where there is one here, else by an estimate."""
        provider, model = self._split(model_id)
        facts = prices.facts(provider.base_url, model)
        exact = openai_counter(facts.model) if facts is not None and facts.by_openai else None
        return exact or estimate_tokens

    def load(self) -> None:
        """Reads what the other methods need. It takes up to two seconds: do it in a thread, at start."""
        for model in self.list():
            self.counter(model.id)

    def _split(self, model_id: str) -> tuple[Settings, str]:
        name, _, model = model_id.partition(":")
        provider = self._providers.get(name)
        if provider is None or not model:
            raise _not_found(model_id)
        return provider, model

    @staticmethod
    def _is_own(provider: Settings) -> bool:
        return not prices.is_public(provider.base_url)


def _not_found(model_id: str) -> ModelNotFound:
    return ModelNotFound(f"There is no model {model_id[:200]!r}.")


def _info(entry: ModelEntry, facts: prices.Facts | None, settings: Settings) -> ModelInfo:
    provider, _, model = entry.id.partition(":")
    info = ModelInfo(
        id=entry.id,
        name=model,
        provider=provider,
        context_window=settings.context_window,
        max_output_tokens=known.max_output_tokens(settings, model),
        capabilities=known.capabilities(settings, model),
    )
    if facts is not None:
        info = msgspec.structs.replace(
            info,
            name=facts.name,
            context_window=facts.context_window or settings.context_window,
            cost_per_1m_input=facts.input_price,
            cost_per_1m_output=facts.output_price,
            cost_per_1m_cached=facts.cached_price,
        )
    fields = ModelInfo.__struct_fields__
    said = {
        name: value for name, value in msgspec.structs.asdict(entry).items() if name in fields and value is not None
    }
    return msgspec.structs.replace(info, **said)


def _configured_cost(info: ModelInfo, usage: Usage) -> float | None:
    fresh, answered = info.cost_per_1m_input, info.cost_per_1m_output
    if fresh is None or answered is None:
        return None
    cached_price = fresh if info.cost_per_1m_cached is None else info.cost_per_1m_cached
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    prompt = (usage.prompt_tokens - cached) * fresh + cached * cached_price
    return (prompt + usage.completion_tokens * answered) / 1_000_000
