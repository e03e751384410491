"""Which models there are, how much fits into them, and what they cost.

What the configuration says about a model wins; then the data bundled with genai-prices, where the provider's address is
one that it knows (nothing is fetched); then, on a server of one's own, a conservative window and no price.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from legato.core.errors import ModelNotFound
from legato.core.model import Usage
from legato.core.prompt import CountTokens
from legato.core.tokens import estimate_tokens
from legato.providers.options import Positive, Settings
from legato.providers.tokenizers import openai_counter

Price = Annotated[float, msgspec.Meta(ge=0)]
