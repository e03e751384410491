"""Agents and providers from a file and from the environment."""

from pathlib import Path

import pytest

from legato.agents.builtin import assistant
from legato.agents.config import load_config, parse_config
from legato.agents.demo import demo
from legato.agents.setup import Setup, from_environment, make_setup
from legato.core.errors import Misuse
from legato.providers.options import Options

pytestmark = pytest.mark.promise("A-01")

FULL = """
default_agent = "editor"

[[agents]]
id = "assistant"
name = "Assistant"
model = "openai:gpt-5-mini"

[[agents]]
id = "editor"
name = "Editor"
role = "editor"
parent_role = "author"
description = "Edits."
system = "You edit."
model = "local:qwen"
tail = 0
reserve = 500
max_turn_s = 30
max_tokens = 400
options = {temperature = 0.2}

[[agents]]
id = "custom"
run = "legato.agents.demo:demo"
enabled = false

[providers.local]
base_url = "http://localhost:8080/v1"
flavour = "llama.cpp"
context_window = 16384
first_token_timeout_s = 300
retries = 0

[providers.groq]
base_url = "https://api.groq.com/openai/v1"
api_key_env = "GROQ_KEY"
models = ["llama-3.3-70b-versatile"]

[[models]]
id = "local:qwen"
context_window = 40960
cost_per_1m_input = 0
cost_per_1m_output = 0
"""


def setup(text: str, **env: str) -> Setup:
    return make_setup(parse_config(text, source="legato.toml"), env, source="legato.toml")


def test_a_file_says_everything() -> None:
    made = setup(FULL, OPENAI_API_KEY="sk-1", GROQ_KEY="gk-1")

    one, editor, own = made.agents
    assert (one.id, one.run, one.model_id, one.available) == (
        "assistant",
        assistant,
        "openai:gpt-5-mini",
        True,
    )
    assert (editor.role, editor.parent_role, editor.description) == ("editor", "author", "Edits.")
    assert (editor.system, editor.model_id, editor.options) == (
        "You edit.",
        "local:qwen",
        {"temperature": 0.2},
    )
    assert (editor.tail, editor.reserve, editor.max_turn_s, editor.max_tokens) == (0, 500, 30.0, 400)
    assert (own.run, own.model_id, own.name, own.available) == (demo, None, "custom", False)
    assert [agent.demo for agent in made.agents] == [False, False, True]
    assert made.registry().default() is editor

    assert made.providers["openai"].api_key == "sk-1"
    assert made.providers["groq"].api_key == "gk-1"
    local = made.providers["local"]
    assert (local.api_key, local.flavour, local.retries, local.first_token_timeout_s) == (
        None,
        "llama.cpp",
        0,
        300,
    )
    assert [(model.id, model.context_window) for model in made.catalog().list()][1] == ("local:qwen", 40960)


@pytest.mark.promise("R-13")
def test_an_agent_whose_key_is_missing_is_there_and_says_why() -> None:
    made = setup(FULL)

    assert made.agents[0].unavailable == "The environment variable OPENAI_API_KEY is not set."
    assert made.agents[1].available


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[agents]]\nid = 1", "agents[0].id: Expected `str`, got `int`"),
        ("[[agents]]\nname = 'x'", "agents[0]: Object missing required field `id`"),
        ("[[agents]]\nid = 'a'\ntial = 3", "agents[0]: Object contains unknown field `tial`"),
        ("[[agents]]\nid = 'a'\ntail = -1", "agents[0].tail: Expected `int` >= 0"),
        ("[[agents]]\nid = 'no spaces'", "agents[0].id: Expected `str` matching regex"),
        ("[providers.x]\nbase_url = 'localhost'", "providers[...].base_url: Expected `str` matching regex"),
        ("[providers.x]\nkind = 'google'", "providers[...].kind: Invalid enum value 'google'"),
        ("[providers.x]\nrequests_per_minute = 0", "providers[...].requests_per_minute: Expected `int` >= 1"),
        ("[[models]]\nid = 'a:b'\ncapabilities = ['sing']", "models[0].capabilities[0]: Invalid enum value 'sing'"),
        ("[providers.x]\nflavour = 'ollama'", "providers[...].flavour: Invalid enum value 'ollama'"),
        ("[providers.x]\nretries = 'two'", "providers[...].retries: Expected `int`, got `str`"),
        ("[providers.x]\napi_key = 'sk-1'", "providers[...]: Object contains unknown field `api_key`"),
        ("[[agents]\nid = 'a'", "is not valid TOML"),
        ("agent = 1", "Object contains unknown field `agent`"),
    ],
)
def test_a_wrong_file_is_told_by_its_name_and_key(text: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse_config(text, source="legato.toml")
    assert caught.value.message.startswith("legato.toml")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[agents]]\nid = 'a'\nmodel = 'nobody:x'", "agents[0].model: there is no [providers.nobody]"),
        ("[[agents]]\nid = 'a'\nmodel = 'gpt-5'", "agents[0].model: write 'gpt-5' as \"provider:model\""),
        ("[[agents]]\nid = 'a'\nrun = 'nowhere:run'", "agents[0].run: 'nowhere:run' can't be imported"),
        ("[[agents]]\nid = 'a'\nrun = 'json'", "agents[0].run: 'json' can't be imported"),
        ("[[agents]]\nid = 'a'\nrun = ':x'", "agents[0].run: ':x' can't be imported"),
        ("[[agents]]\nid = 'a'\nrun = 'json:dumps'", "agents[0].run: 'json:dumps' is not an async generator"),
        ("[[agents]]\nid = 'a'\n[[agents]]\nid = 'a'", "the id 'a' stands twice"),
        ("default_agent = 'b'\n[[agents]]\nid = 'a'", "default_agent: there is no agent 'b'"),
        ("[[models]]\nid = 'x:y'", "models[0].id: 'x:y' names no configured provider"),
        ("[[models]]\nid = 'a:b'\nfallbacks = ['x:y']", "models[0].fallbacks: there is no [providers.x]"),
        ("[[models]]\nid = 'a:b'\nfallbacks = ['y']", "models[0].fallbacks: write 'y' as \"provider:model\""),
        ("[[models]]\nid = 'a:b'\nfallbacks = ['a:b']", "models[0].fallbacks: 'a:b' can't stand in for itself"),
    ],
)
def test_what_points_nowhere_is_told_by_its_name_and_key(text: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        setup(text)
    assert caught.value.message.startswith("legato.toml: ")
    assert said in caught.value.message


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "legato.toml"
    file.write_text(FULL, encoding="utf-8")

    assert [agent.id for agent in load_config(file).agents] == ["assistant", "editor", "custom"]
    with pytest.raises(Misuse, match=r"missing\.toml"):
        load_config(tmp_path / "missing.toml")


@pytest.mark.promise("A-03")
def test_without_any_configuration_the_demo_agent_answers_and_says_what_it_is() -> None:
    made = from_environment({})

    agent = made.registry().default()
    assert (agent.id, agent.name, agent.demo) == ("demo", "Demo (offline, scripted)", True)
    assert made.providers == {}
    assert made.catalog().list() == ()


@pytest.mark.promise("A-03")
@pytest.mark.parametrize(
    ("env", "url", "model"),
    [
        ({"OPENAI_API_KEY": "sk-1"}, "https://api.openai.com/v1", "openai:gpt-5-mini"),
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "o3"}, "https://api.openai.com/v1", "openai:o3"),
        ({"OPENAI_BASE_URL": "http://localhost:8080/v1"}, "http://localhost:8080/v1", "openai:default"),
        (
            {"OPENAI_BASE_URL": "http://localhost:8080/v1", "OPENAI_API_KEY": "k", "OPENAI_MODEL": "qwen"},
            "http://localhost:8080/v1",
            "openai:qwen",
        ),
    ],
)
def test_the_environment_makes_an_assistant(env: dict[str, str], url: str, model: str) -> None:
    made = from_environment(env)

    agent = made.registry().default()
    assert (agent.id, agent.model_id, agent.available, agent.demo) == ("assistant", model, True, False)
    assert made.providers["openai"].base_url == url
    assert made.providers["openai"].api_key == env.get("OPENAI_API_KEY")


@pytest.mark.promise("A-03")
@pytest.mark.parametrize(
    ("env", "url", "model"),
    [
        ({}, "https://api.anthropic.com/v1", "anthropic:claude-haiku-5-5"),
        ({"ANTHROPIC_MODEL": "claude-opus-5-5"}, "https://api.anthropic.com/v1", "anthropic:claude-opus-5-5"),
        ({"ANTHROPIC_BASE_URL": "http://localhost:9/"}, "http://localhost:9/v1", "anthropic:claude-haiku-5-5"),
        ({"ANTHROPIC_BASE_URL": "http://localhost:9/v1"}, "http://localhost:9/v1", "anthropic:claude-haiku-5-5"),
    ],
)
def test_a_key_for_anthropic_makes_an_assistant_as_well(env: dict[str, str], url: str, model: str) -> None:
    made = from_environment(env | {"ANTHROPIC_API_KEY": "sk-ant-1"})

    agent = made.registry().default()
    assert (agent.id, agent.model_id, agent.available, agent.demo) == ("assistant", model, True, False)
    options = made.providers["anthropic"]
    assert (options.kind, options.base_url, options.api_key) == ("anthropic", url, "sk-ant-1")
    assert made.catalog().get(model).max_output_tokens == 64_000


@pytest.mark.promise("A-03")
def test_openai_comes_before_anthropic() -> None:
    made = from_environment({"ANTHROPIC_API_KEY": "sk-ant-1", "OPENAI_API_KEY": "sk-1"})

    assert made.registry().default().model_id == "openai:gpt-5-mini"
    assert made.providers.keys() == {"openai"}
    assert "demo" in [agent.id for agent in from_environment({"ANTHROPIC_BASE_URL": "http://localhost"}).agents]


@pytest.mark.promise("A-03")
def test_a_provider_of_anthropics_kind_has_anthropics_address_and_key() -> None:
    text = "[[agents]]\nid = 'a'\nmodel = 'mine:claude-x'\n[providers.mine]\nkind = 'anthropic'"

    assert setup(text, ANTHROPIC_API_KEY="sk-ant-1").providers["mine"].api_key == "sk-ant-1"
    assert setup(text).agents[0].unavailable == "The environment variable ANTHROPIC_API_KEY is not set."
    elsewhere = setup(text + "\nbase_url = 'http://localhost/v1'", ANTHROPIC_API_KEY="sk-ant-1")
    assert (elsewhere.providers["mine"].api_key, elsewhere.agents[0].available) == (None, True)


FALLBACKS = """
[[agents]]
id = "a"
model = "openai:gpt-5-mini"

[[models]]
id = "openai:gpt-5-mini"
fallbacks = ["anthropic:claude-haiku-5-5", "openai:gpt-4.1-mini"]
"""


@pytest.mark.promise("A-05")
def test_a_model_names_its_fallbacks() -> None:
    made = setup(FALLBACKS, OPENAI_API_KEY="sk-1", ANTHROPIC_API_KEY="sk-ant-1")

    assert made.providers.keys() == {"openai", "anthropic"}
    catalog = made.catalog()
    assert catalog.fallbacks("openai:gpt-5-mini") == ("anthropic:claude-haiku-5-5", "openai:gpt-4.1-mini")
    assert catalog.fallbacks("openai:gpt-4.1-mini") == catalog.fallbacks("no:such") == ()
    assert [model.id for model in catalog.list()] == ["openai:gpt-5-mini", *catalog.fallbacks("openai:gpt-5-mini")]


@pytest.mark.promise("A-05")
def test_a_fallback_whose_key_is_missing_is_left_out_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    made = setup(FALLBACKS, OPENAI_API_KEY="sk-1")

    assert made.catalog().fallbacks("openai:gpt-5-mini") == ("openai:gpt-4.1-mini",)
    assert "models[0].fallbacks: anthropic:claude-haiku-5-5 is left out." in caplog.text
    assert "ANTHROPIC_API_KEY" in caplog.text


def test_a_provider_of_the_hosts_stands_whatever_the_file_says_of_its_name() -> None:
    config = parse_config(
        "[providers.openai]\ncontext_window = 4000\n[[agents]]\nid = 'a'\nmodel = 'openai:m'", source="file"
    )
    own = {"openai": Options(base_url="http://nowhere", context_window=64_000)}

    made = make_setup(config, {}, own=own)

    assert made.providers == own
    assert made.agents[0].available, "the host's own needs no key"


def test_an_agent_of_a_file_that_names_no_model_takes_that_of_the_environment() -> None:
    made = setup("[[agents]]\nid = 'a'\nsystem = 'Be brief.'", OPENAI_BASE_URL="http://localhost/v1", OPENAI_MODEL="m")

    assert (made.agents[0].model_id, made.agents[0].available) == ("openai:m", True)


def test_the_key_of_openai_is_not_sent_elsewhere() -> None:
    text = "[[agents]]\nid = 'a'\nmodel = 'local:x'\n[providers.local]\nbase_url = 'http://localhost/v1'"

    assert setup(text, OPENAI_API_KEY="sk-1").providers["local"].api_key is None


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(Misuse, match="OPENAI_BASE_URL: 'localhost'"):
        from_environment({"OPENAI_BASE_URL": "localhost"})
