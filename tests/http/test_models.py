"""Turns that a model answers, over two real connections: to the user, and to a server nobody here may trust."""

from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import pytest

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.config import Config, ProviderEntry
from tests.http.conftest import PROVIDER_KEY, Served, by_header
from tests.http.serving import serving
from tests.http.speaking import Api, text_of, user_of
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

# What an upstream may do, how the turn ends then, and what of the answer stays.
FAILURES: Final = (
    ("cut after 2", "provider_cut", "1 2 "),
    ("reset after 2", "provider_cut", "1 2 "),
    ("malformed", "provider_nonsense", "1 2 "),
    ("error", "provider_error", "1 2 "),
    ("html", "provider_nonsense", ""),
    ("json", "provider_nonsense", ""),
    ("empty", "empty_answer", ""),
    ("status 400", "provider_refused", ""),
    ("status 401", "provider_refused", ""),
)


@pytest.fixture
async def hasty(sqlite: str) -> AsyncIterator[tuple[Api, Upstream]]:
    """A server without patience: one second for a first or a next word, two for a turn."""
    async with Upstream(key=PROVIDER_KEY) as upstream:
        provider = ProviderEntry(
            base_url=upstream.url,
            api_key_env="HASTY_KEY",
            first_token_timeout_s=1.0,
            between_tokens_timeout_s=1.0,
            retries=0,
        )
        config = Config(providers={"hasty": provider})
        chat = Legato(sqlite, settings=BRIEF, config=config, environment={"HASTY_KEY": PROVIDER_KEY})
        chat.agent("model", model="hasty:m", max_turn_s=2.0)(assistant)
        async with serving(chat, by_header) as url, user_of(url) as api:
            with anyio.fail_after(60):
                yield api, upstream


async def last_answer(api: Api, session: str) -> Any:
    return (await api.call("GET", f"{session}/messages"))["data"][-1]


def prompt_of(upstream: Upstream) -> list[tuple[str, str]]:
    """The newest request's messages."""
    return [(message["role"], message["content"]) for message in upstream.exchanges[-1].body["messages"]]


@pytest.mark.promise("R-12", "C-05", "R-05")
async def test_whatever_a_provider_does_is_a_typed_error_and_the_next_request_is_valid(
    api: Api, served: Served
) -> None:
    """The upstream refuses what the strictest provider would; after each failure it must answer again."""
    session = await api.session("model")
    for script, code, kept in FAILURES:
        failed = await api.answered(session, script)
        assert (failed["status"], failed["reason"], failed["error"]["code"]) == ("failed", "error", code), script
        assert 0 < len(failed["error"]["message"].encode()) <= 4096
        assert PROVIDER_KEY not in str(failed)
        answer = await last_answer(api, session)
        assert (text_of(answer), answer["status"], answer["error"]) == (kept, "failed", failed["error"])
        tail = [event for event in await api.journal(session) if event["data"].get("turn_id") == failed["id"]][-3:]
        assert [event["type"] for event in tail] == ["error", "usage", "done"]
        assert tail[0]["data"] == {"turn_id": failed["id"], **failed["error"]}
        good = await api.answered(session, "count 2")
        assert (good["status"], good.get("error")) == ("completed", None), script
    assert served.upstream.exchanges[-1].outcome == "completed"
    assert len(served.upstream.exchanges[-1].body["messages"]) > len(FAILURES)


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(
    ("script", "code", "kept"),
    [
        ("hang", "provider_timeout", ""),
        ("silence", "provider_timeout", ""),
        ("stall after 2", "provider_timeout", "1 2 "),
        ("count 1000 at 20/s", "turn_timeout", "1 2 "),
    ],
)
async def test_a_provider_that_takes_too_long_is_left(
    hasty: tuple[Api, Upstream], script: str, code: str, kept: str
) -> None:
    api, upstream = hasty
    session = await api.session("model")
    failed = await api.answered(session, script)
    assert (failed["status"], failed["error"]["code"]) == ("failed", code)
    assert text_of(await last_answer(api, session)).startswith(kept)
    with anyio.fail_after(2):
        await upstream.exchanges[0].ended.wait()
    assert upstream.exchanges[0].outcome == "closed"
    assert (await api.answered(session, "count 2"))["status"] == "completed"


@pytest.mark.promise("R-12")
async def test_a_provider_that_is_not_there_is_a_typed_error(hasty: tuple[Api, Upstream]) -> None:
    api, upstream = hasty
    session = await api.session("model")
    await upstream.stop()
    failed = await api.answered(session)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "provider_unreachable")
    await upstream.start()
    assert (await api.answered(session, "count 2"))["status"] == "completed"


@pytest.mark.promise("R-04", "C-05")
@pytest.mark.parametrize(("script", "said"), [("stall after 3", "1 2 3 "), ("silence", ""), ("hang", "")])
async def test_cancel_closes_the_upstream_and_the_model_hears_of_it(
    served: Served, api: Api, script: str, said: str
) -> None:
    session = await api.session("model")
    number = len(served.upstream.exchanges)
    turn = await api.send(session, script)
    exchange = await served.upstream.exchange(number)
    async with api.follow(session, "0") as stream:
        while stream.text != said:
            await stream.until("token")
        with anyio.fail_after(2):
            cancelled = await api.call("POST", f"{session}/turns/{turn['id']}/cancel")
            await exchange.ended.wait()
        assert (exchange.outcome, cancelled["status"]) == ("closed", "cancelled")
        done = await stream.until("done")
        assert (done.data["reason"], stream.types[-2]) == ("cancelled", "usage")
    assert text_of(await last_answer(api, session)) == said
    assert (await api.answered(session, "count 2"))["status"] == "completed"
    asked = prompt_of(served.upstream)
    if said:
        assert asked[1][0] == "assistant"
        assert asked[1][1].startswith(said)
        assert "interrupted" in asked[1][1]
    assert asked[-1][1].endswith("count 2")


@pytest.mark.promise("R-11")
async def test_usage_is_the_providers_word_or_an_estimate_that_says_so(api: Api) -> None:
    session = await api.session("model")
    told = (await api.answered(session, "count 7"))["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (2, 7, 9)
    assert told["cost_usd"] == pytest.approx((2 * 1.0 + 7 * 2.0) / 1_000_000)
    assert told.get("estimated", False) is False
    guessed = (await api.answered(session, "nousage"))["usage"]
    assert guessed["estimated"] is True
    assert guessed["completion_tokens"] > 0
    assert guessed["cost_usd"] > 0
    assert (await api.call("GET", f"{session}/stats"))["usage"]["estimated"] is True


async def test_reasoning_is_shown_and_not_sent_back(served: Served, api: Api) -> None:
    session = await api.session("model")
    turn = await api.send(session, "reason")
    async with api.follow(session, "0", until=turn["id"]) as stream:
        await stream.rest()
    kinds = [(event.data["kind"], event.data["part"]) for event in stream.events if event.type == "token"]
    assert {("reasoning", 0), ("text", 1)} == set(kinds)
    assert [part["type"] for part in (await last_answer(api, session))["parts"]] == ["reasoning", "text"]
    await api.answered(session, "count 1")
    assert prompt_of(served.upstream) == [("user", "reason"), ("assistant", "1 2 3 "), ("user", "count 1")]


@pytest.mark.promise("R-05")
async def test_an_answer_that_was_cut_by_its_length_is_incomplete_and_goes_on(served: Served, api: Api) -> None:
    session = await api.session("model")
    cut = await api.answered(session, "cutoff")
    assert (cut["status"], cut["reason"]) == ("incomplete", "length")
    more = (await api.call("POST", f"{session}/turns/{cut['id']}/continue", status=202))["turn"]
    assert (await api.over(session, more["id"]))["status"] == "completed"
    assert [role for role, _ in prompt_of(served.upstream)] == ["user", "assistant", "user"]
    assert prompt_of(served.upstream)[1][1].startswith("1 2 3 ")


async def test_a_retry_asks_the_model_the_same_again(served: Served, api: Api) -> None:
    session = await api.session("model")
    first = await api.answered(session, "count 2")
    asked = prompt_of(served.upstream)
    again = (await api.call("POST", f"{session}/turns/{first['id']}/retry", status=202))["turn"]
    assert (await api.over(session, again["id"]))["status"] == "completed"
    assert prompt_of(served.upstream) == asked == [("user", "count 2")]


@pytest.mark.promise("C-01")
async def test_a_message_that_can_not_fit_is_refused_with_the_numbers(served: Served, api: Api) -> None:
    session = await api.session("small")
    number = len(served.upstream.exchanges)
    problem = await api.refused(422, "context_overflow", "POST", f"{session}/turns", {"text": "word " * 1_000})
    assert (problem["available"], problem["window"], problem["reserved"]) == (100, 2148, 2048)
    assert problem["needed"] > 100
    assert str(problem["needed"]) in problem["detail"]
    assert [event["type"] for event in await api.journal(session)] == ["session"]
    assert len(served.upstream.exchanges) == number
    wide = await api.answered(session, "word " * 1_000, model_id="openai:m")
    assert (wide["status"], wide["model_id"]) == ("completed", "openai:m")


@pytest.mark.promise("C-01")
async def test_the_oldest_turns_fall_out_of_a_full_window(served: Served, api: Api) -> None:
    session = await api.session("small")
    for number in range(8):
        turn = await api.answered(session, f"Message number {number}, of several words.")
        assert turn["status"] == "completed"
        assert turn["context"]["tokens"] <= turn["context"]["budget"] == 100
    assert turn["context"]["dropped"] > 0
    assert turn["context"]["dropped"] + turn["context"]["messages"] == 15
    asked = prompt_of(served.upstream)
    assert asked[-1] == ("user", "Message number 7, of several words.")
    assert ("user", "Message number 0, of several words.") not in asked
    assert len(await api.texts(session)) == 16


@pytest.mark.promise("S-01", "A-03")
async def test_each_turn_may_name_its_model(served: Served, api: Api) -> None:
    session = await api.session("model")
    turn = await api.answered(session, "count 1", model_id="openai:other")
    assert turn["model_id"] == "openai:other"
    assert served.upstream.exchanges[-1].body["model"] == "other"
    assert (await api.answered(session, "count 1"))["model_id"] == "openai:m"
    assert served.upstream.exchanges[-1].headers["Authorization"] == f"Bearer {PROVIDER_KEY}"


@pytest.mark.promise("S-15")
async def test_another_model_answers_the_same_question(served: Served, api: Api) -> None:
    session = await api.session("model")
    first = await api.answered(session, "count 2")
    path = f"{session}/turns/{first['id']}/retry"
    body = {"model_id": "openai:other", "message_id": "again"}
    again = (await api.call("POST", path, body, status=202))["turn"]
    assert (again["message_id"], again["model_id"]) == (first["message_id"], "openai:other")
    again = await api.over(session, again["id"])
    assert (again["status"], served.upstream.exchanges[-1].body["model"]) == ("completed", "other")
    assert (await last_answer(api, session))["model_id"] == "openai:other"
    assert (await api.call("POST", path, body))["turn"]["id"] == again["id"]
    await api.refused(409, "message_id_reused", "POST", path, {"message_id": "again"})
    await api.refused(404, "model_not_found", "POST", path, {"model_id": "nowhere:m"})
    # The session's own model answers what comes next.
    assert (await api.answered(session, "count 2"))["model_id"] == first["model_id"]
