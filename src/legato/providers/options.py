"""The settings of a model's provider. Times are in seconds."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

OPENAI_URL: Final = "https://api.openai.com/v1"
ANTHROPIC_URL: Final = "https://api.anthropic.com/v1"
DEFAULT_CONTEXT_WINDOW: Final = 8192  # llama.cpp and vLLM are seldom started with less
_SECRET_CHARACTERS: Final = 8  # a shorter header value is a word, not a secret

Kind = Literal["openai", "anthropic"]
Flavour = Literal["generic", "llama.cpp", "vllm"]
#: What a model can do: answer in text, call tools, see images, read PDF files, go on from an answer that has begun.
Capability = Literal["text", "tools", "images", "pdf", "prefill"]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/]")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a configuration file; nothing here is secret except, perhaps, ``headers``.

    ``kind``: whose words the server speaks, OpenAI's or Anthropic's; without a ``base_url`` it is theirs.
    ``flavour`` adds what only llama.cpp or vLLM know; other servers may refuse a field they don't know.
    ``max_tokens_field`` names the limit of an answer's length; by default what the host is known to want.
    ``retries`` happen before the first token only. ``max_concurrent`` and ``requests_per_minute`` are per
    process, None for no limit. ``context_window`` is assumed for models nothing else is known about, and
    ``capabilities``, if given, are those of every model that says nothing else. ``models`` are the models to
    list.
    """

    kind: Kind = "openai"
    base_url: HttpUrl = OPENAI_URL
    headers: dict[str, str] = {}
    flavour: Flavour = "generic"
    connect_timeout_s: Seconds = 10.0
    first_token_timeout_s: Seconds = 60.0
    between_tokens_timeout_s: Seconds = 60.0
    retries: Count = 2
    backoff_s: Seconds = 0.5
    max_concurrent: Positive | None = None
    requests_per_minute: Positive | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    stream_usage: bool = True
    context_window: Positive = DEFAULT_CONTEXT_WINDOW
    capabilities: tuple[Capability, ...] | None = None
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "anthropic" and self.base_url == OPENAI_URL:
            msgspec.structs.force_setattr(self, "base_url", ANTHROPIC_URL)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


class Options(Settings, frozen=True, kw_only=True, repr_omit_defaults=True):
    """The settings and the key. Prints the host only: keys also hide in headers and in addresses."""

    api_key: str | None = None

    def __repr__(self) -> str:
        return f"Options(host={self.host!r})"

    def redacted(self, text: str) -> str:
        """``text`` without our key and without the values of our headers."""
        for secret in (self.api_key, *self.headers.values()):
            if secret and len(secret) >= _SECRET_CHARACTERS:
                text = text.replace(secret, "…")
        return text
