"""The providers of a configuration with their keys, which only the environment holds."""

from collections.abc import Mapping
from typing import Final

import msgspec

from legato.agents.config import Config, ProviderEntry
from legato.core.errors import Misuse
from legato.providers.options import OPENAI_URL, Options

_KEY: Final = "OPENAI_API_KEY"
_URL: Final = "OPENAI_BASE_URL"
_MODEL: Final = "OPENAI_MODEL"


def is_configured(env: Mapping[str, str]) -> bool:
    """Whether the environment names an OpenAI-compatible server or holds a key for OpenAI itself."""
    return bool(env.get(_KEY) or env.get(_URL))


def default_model(env: Mapping[str, str]) -> str:
    """The model of an agent that names none; to a server of a single model ``default`` is as good as any."""
    return "openai:" + (env.get(_MODEL) or ("default" if env.get(_URL) else "gpt-5-mini"))


class Providers:
    """``options`` by name, with the host's own among them. ``openai`` is there without being configured."""

    def __init__(self, config: Config, env: Mapping[str, str], own: Mapping[str, Options] | None = None) -> None:
        self.options: dict[str, Options] = dict(own or {})
        self._lacking: dict[str, str] = {}
        for name, entry in config.providers.items():
            self._add(name, entry, env)
        if "openai" not in config.providers:
            self._add_openai(env)

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
        variable = settings.pop("api_key_env") or (_KEY if entry.base_url == OPENAI_URL else None)
        key = env.get(variable) if variable else None
        if variable and not key:
            self._lacking[name] = f"The environment variable {variable} is not set."
        self.options[name] = Options(**settings, api_key=key or None)

    def _add_openai(self, env: Mapping[str, str]) -> None:
        try:
            entry = msgspec.convert({"base_url": env.get(_URL) or OPENAI_URL}, ProviderEntry)
        except msgspec.ValidationError as error:
            raise Misuse(f"{_URL}: {env.get(_URL)!r} is not an http:// or https:// address.") from error
        self._add("openai", entry, env)
        if env.get(_KEY):
            self.options["openai"] = msgspec.structs.replace(self.options["openai"], api_key=env[_KEY])
