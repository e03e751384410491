"""Windows and prices of public providers' models: the data bundled with genai-prices, nothing is fetched.

The first look into the data takes about a second, so addresses that can't be in it are not looked up.
"""

import ipaddress
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from genai_prices.types import TieredPrices


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a model; prices are today's, in USD per million tokens, those of small prompts."""

    name: str
    model: str
    by_openai: bool
    context_window: int | None
    input_price: float | None
    output_price: float | None
    cached_price: float | None


@lru_cache(maxsize=1024)
def facts(base_url: str, model: str) -> Facts | None:
    """What is known about ``model`` at the provider with this address."""
    if not may_be_public(base_url):
        return None
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(), model, provider_api_url=base_url)
    except (LookupError, ValueError):
        return None
    price = found.model_price
    return Facts(
        name=found.model.name or model,
        model=found.model.id,
        by_openai=found.provider.id in ("openai", "azure"),
        context_window=found.model.context_window,
        input_price=_base(price.input_mtok),
        output_price=_base(price.output_mtok),
        cached_price=_base(price.cache_read_mtok),
    )


def cost_usd(base_url: str, model: str, *, prompt: int, cached: int, completion: int) -> float | None:
    """What these tokens cost there now; None where it isn't known. ``cached`` is part of ``prompt``."""
    if facts(base_url, model) is None:
        return None
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=prompt, cache_read_tokens=cached or None, output_tokens=completion)
    try:
        return float(calc_price(usage, model, provider_api_url=base_url).total_price)
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=64)
def is_public(base_url: str) -> bool:
    """Whether the data has a provider with this address."""
    if not may_be_public(base_url):
        return False
    from genai_prices.data_snapshot import get_snapshot

    try:
        get_snapshot().find_provider(None, None, base_url)
    except LookupError:
        return False
    return True


def may_be_public(base_url: str) -> bool:
    """False for a host without a dot and for an IP address."""
    host = urlsplit(base_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host
    return False


def _base(price: "Decimal | TieredPrices | None") -> float | None:
    if price is None:
        return None
    return float(price if isinstance(price, Decimal) else price.base)
