"""Everything a model's server can do to us, through a real ``legato serve``, on both databases (promise R-12).

Each misery has a session of its own, and all of them suffer at once in one server. The upstream is ours, and refuses
whatever the strictest provider would.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.process.dead_ends import dead_ends
from tests.process.misery import SYSTEM, Misery, all_of, cancelled, fine, short
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import access

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

STUBBORN: Final = "tests.process.stubborn:stubborn"

MISERIES: Final = (
    # Silence
    Misery("hang", "provider_timeout", of="hasty"),
    Misery("silence", "provider_timeout", of="hasty"),
    Misery("trickle", "provider_timeout", of="hasty"),
    Misery("chatter after 0", "provider_timeout", of="hasty"),
    Misery("stall after 2", "provider_timeout", "1 2 ", of="fluent"),
    Misery("chatter after 2", "provider_timeout", "1 2 ", of="fluent"),
    fine("lingers", of="fluent"),
    # Connections
    Misery("vanish", "provider_unreachable", tries=3),
    Misery("reset after 0", "provider_cut", tries=3),
    Misery("reset after 2", "provider_cut", "1 2 "),
    Misery("cut after 0", "provider_cut", tries=3),
    Misery("cut after 2", "provider_cut", "1 2 "),
    Misery("torn after 2", "provider_cut", "1 2 "),
    Misery("Nobody listens.", "provider_unreachable", tries=0, of="refusing"),
    Misery("Nobody accepts.", "provider_unreachable", tries=0, of="crowded"),
    Misery("TLS ends before it begins.", "provider_unreachable", tries=0, of="hanging-up"),
    Misery("TLS never begins.", "provider_unreachable", tries=0, of="mute"),
    # Refusals
    Misery("status 400", "provider_refused"),
    Misery("status 401", "provider_refused"),
    Misery("status 429", "provider_busy", tries=3),
    Misery("status 429 retry-after 1", "provider_busy", tries=3),
    Misery("status 429 retry-after soon", "provider_busy", tries=3),
    Misery("status 500", "provider_error", tries=3),
    Misery("status 503 retry-after 0", "provider_busy", tries=3),
    fine("status 429 once", tries=2),
    fine("status 503 twice retry-after 1", tries=3),
    # Words that can't be understood, and too many of them
    Misery("garbage", "provider_nonsense"),
    Misery("html", "provider_nonsense"),
    Misery("json", "provider_nonsense"),
    Misery("page 500", "provider_error", tries=3),
    Misery("page 404", "provider_refused"),
    Misery("shout 400", "provider_refused"),
    Misery("shout 500", "provider_error", tries=3),
    Misery("shout", "provider_error", "1 2 "),
    Misery("error", "provider_error", "1 2 "),
    Misery("malformed", "provider_nonsense", "1 2 "),
    # Ends
    fine("nodone"),
    fine("nousage"),
    fine("absurd usage"),
    short("cutoff", "length"),
    short("stops for content_filter", "content_filter"),
    Misery("stops for error", "provider_error", "1 2 3 "),
    Misery("stops for abort", "provider_cut", "1 2 3 "),
    Misery("empty", "empty_answer"),
    Misery("blank", "empty_answer", "\n \n"),
    Misery("tool", "empty_answer"),
)


# Reasons to stop that are none, and that only some of OpenAI's imitators give.
OPENAIS_OWN: Final = frozenset({"stops for error", "stops for abort"})


# What is cancelled (when its ``said`` has been heard), and what of it stays at least.
CANCELLED: Final = (
    cancelled("hang"),
    cancelled("silence"),
    cancelled("trickle"),
    cancelled("chatter after 2", "1 "),
    cancelled("stall after 2", "1 "),
    cancelled("count 9999 at 50/s", "1 "),
    cancelled("status 503 retry-after 20"),  # in the pause before the next try
    cancelled("count 9998 at 50/s", "1 ", agent="stubborn"),
)


@pytest.mark.promise("R-05", "R-12", "C-05")
async def test_each_misery_ends_typed_and_the_next_turn_is_answered(
    database: str, nursery: Nursery, tmp_path: Path
) -> None:
    found = await suffered(MISERIES, database, nursery, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.promise("A-03", "R-05", "R-12", "C-05")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the words are other ones, the store is the same
async def test_each_misery_in_anthropics_words_ends_the_same(database: str, nursery: Nursery, tmp_path: Path) -> None:
    miseries = [misery for misery in MISERIES if misery.asks not in OPENAIS_OWN]
    found = await suffered(miseries, database, nursery, tmp_path, kind="anthropic")
    assert not found, "\n".join(found)


@pytest.mark.promise("A-03", "R-04", "R-05", "C-05")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_cancelled_answer_in_anthropics_words_is_let_go(
    database: str, nursery: Nursery, tmp_path: Path
) -> None:
    found = await suffered(CANCELLED, database, nursery, tmp_path, kind="anthropic")
    assert not found, "\n".join(found)


@pytest.mark.promise("R-04", "R-05", "C-05")
async def test_a_cancelled_answer_is_let_go_whatever_the_model_and_its_agent_do(
    database: str, nursery: Nursery, tmp_path: Path
) -> None:
    found = await suffered(CANCELLED, database, nursery, tmp_path)
    assert not found, "\n".join(found)


async def suffered(
    miseries: Sequence[Misery], database: str, nursery: Nursery, tmp_path: Path, kind: str = "openai"
) -> list[str]:
    with ModelServer() as model, dead_ends() as addresses:
        config = tmp_path / "legato.toml"
        config.write_text(configuration(model.url, addresses, kind))
        server = ForkedServer(nursery, database, {"LEGATO_CONFIG": str(config)}, log=tmp_path / "server.log")
        with server:
            async with access(server.url) as to:
                return await all_of(miseries, to, model)


def configuration(url: str, addresses: dict[str, str], kind: str) -> str:
    """``legato.toml``: the same upstream with three kinds of patience, and the addresses where there is none."""
    providers = {
        "patient": f'base_url = "{url}"',
        # The other limit is far away, so that a slow machine can't be taken for a slow model.
        "hasty": f'base_url = "{url}"\nfirst_token_timeout_s = 1.0',
        "fluent": f'base_url = "{url}"\nbetween_tokens_timeout_s = 1.0',
    } | {name: f'base_url = "{address}"\nconnect_timeout_s = 0.5' for name, address in addresses.items()}
    common = f'system = "{SYSTEM}"\nmodel = "patient:m"\n'
    agents = f'[[agents]]\nid = "model"\n{common}[[agents]]\nid = "stubborn"\nrun = "{STUBBORN}"\n{common}'
    common = f'kind = "{kind}"\nbackoff_s = 0.05\n'
    return agents + "".join(f"\n[providers.{name}]\n{keys}\n{common}" for name, keys in providers.items())
