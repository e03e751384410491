"""The providers of a configuration with their keys, which only the environment holds."""

from collections.abc import Mapping
from typing import Final

import msgspec

from legato.agents.config import Config, ProviderEntry
from legato.core.errors import Misuse
from legato.providers.options import ANTHROPIC_URL, OPENAI_URL, Options

_KEYS: Final = {OPENAI_URL: "OPENAI_API_KEY", ANTHROPIC_URL: "ANTHROPIC_API_KEY"}
_OPENAI_MODEL: Final = "gpt-5-mini"
_ANTHROPIC_MODEL: Final = "claude-haiku-5-5"  # the small one, too


def is_configured(env: Mapping[str, str]) -> bool:
    """Whether the environment names an OpenAI-compatible server or holds a key for OpenAI or Anthropic."""
    return _by_openai(env) or bool(env.get("ANTHROPIC_API_KEY"))


def default_model(env: Mapping[str, str]) -> str:
    """The model of an agent that names none; to a server of a single model ``default`` is as good as any."""
    if env.get("ANTHROPIC_API_KEY") and not _by_openai(env):
        return "anthropic:" + (env.get("ANTHROPIC_MODEL") or _ANTHROPIC_MODEL)
    return "openai:" + (env.get("OPENAI_MODEL") or ("default" if env.get("OPENAI_BASE_URL") else _OPENAI_MODEL))


def _by_openai(env: Mapping[str, str]) -> bool:
    return bool(env.get("OPENAI_API_KEY") or env.get("OPENAI_BASE_URL"))


class Providers:
    """``options`` by name. ``openai`` and ``anthropic`` are there without being configured.

    A provider that the host brings (``own``) stands, whatever the configuration says of its name: it needs none of its keys.
    """

    def __init__(self, config: Config, env: Mapping[str, str], own: Mapping[str, Options] | None = None) -> None:
        self.options: dict[str, Options] = dict(own or {})
        self._lacking: dict[str, str] = {}
        for name, entry in config.providers.items():
            if name not in self.options:
                self._add(name, entry, env)
        if "openai" not in self.options:
            self._add_from(env, "openai", "OPENAI", env.get("OPENAI_BASE_URL"))
        if "anthropic" not in self.options:
            self._add_from(env, "anthropic", "ANTHROPIC", _with_version(env.get("ANTHROPIC_BASE_URL")))

    def lacking(self, model_id: str, place: str) -> str | None:
        """What keeps the provider of this model from answering, None if nothing does.

        Raises:
            Misuse: there is no such provider; ``place`` says where it was named.
        """
        name, colon, model = model_id.partition(":")
        if not colon or not model:
            raise Misuse(f'{place}: write {model_id!r} as "provider:model".')
        if name not in self.options:
            raise Misuse(f"{place}: there is no [providers.{name}].")
        return self._lacking.get(name)

    def _add(self, name: str, entry: ProviderEntry, env: Mapping[str, str]) -> None:
        settings = msgspec.structs.asdict(entry)
        variable = settings.pop("api_key_env") or _KEYS.get(entry.base_url)
        key = env.get(variable) if variable else None
        if variable and not key:
            self._lacking[name] = f"The environment variable {variable} is not set."
        self.options[name] = Options(**settings, api_key=key or None)

    def _add_from(self, env: Mapping[str, str], kind: str, prefix: str, url: str | None) -> None:
        """The provider that the environment alone describes: its key goes to its address, whatever that is."""
        said = {"kind": kind, "base_url": url} if url else {"kind": kind}
        try:
            entry = msgspec.convert(said, ProviderEntry)
        except msgspec.ValidationError as error:
            raise Misuse(f"{prefix}_BASE_URL: {url!r} is not an http:// or https:// address.") from error
        self._add(kind, entry, env)
        if key := env.get(f"{prefix}_API_KEY"):
            self.options[kind] = msgspec.structs.replace(self.options[kind], api_key=key)


def _with_version(url: str | None) -> str | None:
    """Anthropic's own clients want this address without its ``/v1``."""
    if not url:
        return None
    url = url.rstrip("/")
    return url if url.endswith("/v1") else url + "/v1"
