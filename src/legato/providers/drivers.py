"""From a provider's settings to what speaks with it."""

from legato.core.errors import ModelNotFound
from legato.providers.anthropic import Anthropic
from legato.providers.catalog import Catalog
from legato.providers.http import HttpProvider
from legato.providers.openai_compatible import OpenAICompatible
from legato.providers.options import Options


def driver(name: str, options: Options, catalog: Catalog) -> HttpProvider:
    """The provider ``name``; the catalog knows its models."""
    if options.kind == "openai":
        return OpenAICompatible(name=name, options=options)

    def most_tokens(model: str) -> int | None:
        try:
            return catalog.get(f"{name}:{model}").max_output_tokens
        except ModelNotFound:
            return None

    return Anthropic(name=name, options=options, most_tokens=most_tokens)
