"""Which models there are, what fits into them, what they cost."""

import importlib
import socket

import pytest

from legato.core.errors import ModelNotFound
from legato.core.model import Usage
from legato.core.tokens import estimate_tokens
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.options import Options
from tests.support.require import unavailable

pytestmark = pytest.mark.promise("A-02")

OPENAI = Options()
OWN = Options(base_url="http://127.0.0.1:8080/v1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the catalog went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def usage(prompt: int = 0, completion: int = 0, cached: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)


def test_a_public_model_has_its_window_and_its_prices() -> None:
    model = Catalog(providers={"openai": OPENAI}).get("openai:gpt-5-mini")

    assert (model.id, model.name, model.provider) == ("openai:gpt-5-mini", "GPT-5 mini", "openai")
    assert model.context_window == 400_000
    assert (model.cost_per_1m_input, model.cost_per_1m_output, model.cost_per_1m_cached) == (0.25, 2.0, 0.025)


@pytest.mark.promise("S-17")
@pytest.mark.parametrize("model_id", ["openai:no-such-model", "nobody:gpt-5-mini", "gpt-5-mini", "openai:", ":x", ""])
def test_an_unknown_model_is_named(model_id: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        Catalog(providers={"openai": OPENAI}).get(model_id)
    assert repr(model_id) in caught.value.message


def test_a_model_that_the_configuration_names_exists_even_if_nobody_knows_it() -> None:
    catalog = Catalog(providers={"openai": OPENAI}, named=["openai:gpt-99"])

    assert catalog.get("openai:gpt-99").context_window == 8192
    assert catalog.cost("openai:gpt-99", usage(1000, 1000)) is None


def test_a_server_of_ones_own_is_taken_at_its_word_with_a_small_window() -> None:
    catalog = Catalog(providers={"own": OWN, "wide": Options(base_url=OWN.base_url, context_window=32_768)})

    assert catalog.get("own:llama3:8b").context_window == 8192
    assert catalog.get("own:llama3:8b").name == "llama3:8b"
    assert catalog.get("wide:any").context_window == 32_768
    assert catalog.cost("own:gpt-5-mini", usage(1000, 1000)) is None
    assert catalog.get("own:gpt-5-mini").cost_per_1m_input is None


@pytest.mark.parametrize("provider", [OPENAI, OWN])
def test_a_list_of_models_is_all_there_is(provider: Options) -> None:
    listed = Options(base_url=provider.base_url, models=("gpt-5-mini", "other"))
    catalog = Catalog(providers={"p": listed}, named=["p:agent-model"])

    assert [model.id for model in catalog.list()] == ["p:agent-model", "p:gpt-5-mini", "p:other"]
    with pytest.raises(ModelNotFound):
        catalog.get("p:gpt-5-nano")


def test_the_configuration_wins_field_by_field() -> None:
    entry = ModelEntry(id="openai:gpt-5-mini", name="Mini", context_window=1000, capabilities=("text", "tools"))
    model = Catalog(providers={"openai": OPENAI}, entries=[entry]).get("openai:gpt-5-mini")

    assert (model.name, model.context_window, model.capabilities) == ("Mini", 1000, ("text", "tools"))
    assert model.cost_per_1m_input == 0.25


CLAUDE = Options(kind="anthropic")


@pytest.mark.parametrize(
    ("model", "goes_on", "most"),
    [
        ("claude-haiku-5-5", False, 64_000),
        ("claude-opus-5", False, 64_000),
        ("claude-opus-4-6", False, 64_000),
        ("claude-sonnet-4-6-20260217", False, 64_000),
        ("claude-sonnet-4-5", True, 64_000),
        ("claude-haiku-4-5-20251001", True, 64_000),
        ("claude-opus-4-1-20250805", True, 32_000),
        ("claude-opus-4-20250514", True, 32_000),
        ("claude-sonnet-4-0", True, 64_000),
        ("claude-3-7-sonnet-latest", True, 64_000),
        ("claude-3-5-haiku-latest", True, 8192),
        ("claude-3-haiku-20240307", True, 4096),
    ],
)
def test_what_claude_can_do_is_known(model: str, goes_on: bool, most: int) -> None:
    info = Catalog(providers={"a": CLAUDE}, named=[f"a:{model}"]).get(f"a:{model}")

    assert info.capabilities == ("text", "tools", "images", "pdf", *(["prefill"] if goes_on else []))
    assert info.max_output_tokens == most


def test_a_model_of_anthropics_has_its_window_and_its_prices() -> None:
    model = Catalog(providers={"a": CLAUDE}).get("a:claude-haiku-4-5")

    assert (model.context_window, model.cost_per_1m_input, model.cost_per_1m_cached) == (200_000, 1.0, 0.1)


@pytest.mark.parametrize(
    ("options", "model", "expected"),
    [
        (OPENAI, "gpt-5-mini", ("text", "tools", "images", "pdf")),
        (OPENAI, "gpt-4.1-nano", ("text", "tools", "images", "pdf")),
        (OPENAI, "o3", ("text", "tools", "images", "pdf")),
        (OPENAI, "o3-mini", ("text", "tools")),
        (OPENAI, "gpt-4", ("text", "tools")),
        (OWN, "gpt-5-mini", ("text", "tools")),
        (Options(base_url=OWN.base_url, flavour="llama.cpp"), "qwen", ("text", "tools", "prefill")),
        (Options(base_url=OWN.base_url, flavour="vllm"), "qwen", ("text", "tools", "prefill")),
        (Options(kind="anthropic", base_url=OWN.base_url), "qwen", ("text", "tools")),
        (Options(base_url=OWN.base_url, capabilities=("text", "images")), "qwen", ("text", "images")),
    ],
)
def test_what_a_model_can_do_is_known_by_provider_and_name(
    options: Options, model: str, expected: tuple[str, ...]
) -> None:
    assert Catalog(providers={"p": options}, named=[f"p:{model}"]).get(f"p:{model}").capabilities == expected


def test_what_the_configuration_says_about_a_model_wins_over_its_provider() -> None:
    options = Options(base_url=OWN.base_url, flavour="vllm", capabilities=("text",))
    catalog = Catalog(providers={"p": options}, entries=[ModelEntry(id="p:m", capabilities=("text", "prefill"))])

    assert catalog.get("p:m").capabilities == ("text", "prefill")
    assert catalog.get("p:other").capabilities == ("text",)


@pytest.mark.promise("R-11")
def test_cached_tokens_cost_less() -> None:
    catalog = Catalog(providers={"openai": OPENAI})

    assert catalog.cost("openai:gpt-5-mini", usage(1_000_000, 1_000_000)) == pytest.approx(2.25)
    assert catalog.cost("openai:gpt-5-mini", usage(1_000_000, 0, cached=1_000_000)) == pytest.approx(0.025)
    assert catalog.cost("openai:gpt-5-mini", usage(10, 0, cached=99)) == pytest.approx(10 * 0.025e-6)
    assert catalog.cost("openai:gpt-5-mini", usage()) == 0


@pytest.mark.promise("R-11")
def test_prices_of_ones_own() -> None:
    entries = [
        ModelEntry(id="own:a", cost_per_1m_input=1.0, cost_per_1m_output=3.0),
        ModelEntry(id="own:b", cost_per_1m_input=1.0, cost_per_1m_output=3.0, cost_per_1m_cached=0.5),
        ModelEntry(id="own:c", cost_per_1m_input=1.0),
    ]
    catalog = Catalog(providers={"own": OWN}, entries=entries)

    assert catalog.cost("own:a", usage(1_000_000, 1_000_000, cached=500_000)) == pytest.approx(4.0)
    assert catalog.cost("own:b", usage(1_000_000, 1_000_000, cached=500_000)) == pytest.approx(3.75)
    assert catalog.cost("own:c", usage(1, 1)) is None


def test_the_cost_of_what_does_not_exist_is_unknown() -> None:
    assert Catalog(providers={}).cost("openai:gpt-5-mini", usage(1, 1)) is None


@pytest.mark.promise("C-04")
@pytest.mark.filterwarnings("ignore:open_binary:DeprecationWarning")
def test_tokens_are_counted_with_the_models_own_tokenizer_where_there_is_one() -> None:
    try:
        importlib.import_module("bpe_openai")
    except ImportError:
        unavailable("the package bpe-openai is not installed")
    catalog = Catalog(providers={"openai": OPENAI, "own": OWN})
    text = "The quick brown fox jumps over the lazy dog."

    assert catalog.counter("openai:gpt-5-mini")(text) == 10
    assert catalog.counter("openai:gpt-4")(text) == 10
    assert catalog.counter("openai:gpt-5-mini")("<|endoftext|>") == 7
    assert catalog.counter("openai:gpt-5-mini")("\ud800") == 1
    assert catalog.counter("openai:gpt-5-mini")("wine " * 400_000) > 200_000
    assert catalog.counter("own:gpt-5-mini") is estimate_tokens


@pytest.mark.promise("C-04")
def test_without_the_tokenizer_tokens_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bpe_openai", None)
    from legato.providers import tokenizers

    tokenizers._counter.cache_clear()
    try:
        assert Catalog(providers={"openai": OPENAI}).counter("openai:gpt-5-mini") is estimate_tokens
    finally:
        tokenizers._counter.cache_clear()


def test_loading_is_harmless_without_public_providers() -> None:
    Catalog(providers={"own": OWN}, named=["own:x"]).load()
