"""What is known of models by their names: what they can do, and how long their answers can be.

From the makers' documentation. A name that isn't here is not guessed at: such a model is given tools, if its agent has
any, but neither files nor an answer to go on from; the configuration may say more.
"""

import re
from typing import Final

from legato.providers.options import Capability, Settings

_CLAUDE: Final = re.compile(r"^(anthropic[./])?claude-")
# Claude goes on from a prefill up to version 4.5; later ones refuse it.
_CLAUDE_GOES_ON: Final = re.compile(r"claude-(instant|v?[123]\b|(opus|sonnet|haiku)-4(-[0-5])?(-latest|[-@]\d{8})?$)")
_CLAUDE_TOKENS: Final = (
    ("claude-3-haiku", 4096),
    ("claude-3-opus", 4096),
    ("claude-3-sonnet", 4096),
    ("claude-3-5", 8192),
    ("claude-2", 4096),
    ("claude-instant", 4096),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-2", 32_000),  # claude-opus-4-20250514
    ("claude-", 64_000),
)
_OPENAI_SEES: Final = re.compile(r"^(gpt-4o|gpt-4\.[15]|gpt-[5-9]|chatgpt-4o|o[13](-pro)?(-\d|$)|o4)")


def capabilities(settings: Settings, model: str) -> tuple[Capability, ...]:
    """What ``model`` can do there."""
    if settings.capabilities is not None:
        return settings.capabilities
    if settings.kind == "anthropic" and _CLAUDE.search(model):
        goes_on: tuple[Capability, ...] = ("prefill",) if _CLAUDE_GOES_ON.search(model) else ()
        return ("text", "tools", "images", "pdf", *goes_on)
    if settings.host == "api.openai.com" and _OPENAI_SEES.match(model):
        return ("text", "tools", "images", "pdf")
    if settings.flavour in ("llama.cpp", "vllm"):
        return ("text", "tools", "prefill")
    return ("text", "tools")


def max_output_tokens(settings: Settings, model: str) -> int | None:
    """How many tokens an answer of ``model`` can have; None where it isn't known, or nobody has to ask."""
    if settings.kind != "anthropic":
        return None
    name = model.removeprefix("anthropic.").removeprefix("anthropic/")
    return next((most for prefix, most in _CLAUDE_TOKENS if name.startswith(prefix)), None)
