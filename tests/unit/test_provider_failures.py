"""What goes wrong with a provider, and what the turn is told (promise R-12)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from legato.core.errors import (
    MAX_ERROR_BYTES,
    ProviderBusy,
    ProviderCut,
    ProviderError,
    ProviderNonsense,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
)
from legato.core.prompt import PromptMessage
from legato.providers.http import HttpProvider
from legato.providers.options import Kind
from legato.providers.port import Delta, ModelRequest, StopDelta
from legato.providers.refusal import refusal, retry_after_s
from tests.support.provider import Naps, asking, deltas_of, opened, text_of
from tests.support.server import free_port
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-12")]


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Whose words are spoken; what goes wrong is the same."""
    spoken: Kind = request.param
    return spoken


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


async def until_failure(provider: HttpProvider, text: str) -> tuple[list[Delta], ProviderError]:
    """What came, and the error that ended it."""
    deltas: list[Delta] = []
    try:
        async for delta in provider.stream(asking(text)):
            deltas.append(delta)  # noqa: PERF401 - what came before the error counts
    except ProviderError as error:
        return deltas, error
    pytest.fail(f"{text!r} did not fail")


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("malformed", ProviderNonsense, "can't be read"),
        ("error", ProviderError, "The GPU is on fire."),
        ("cut after 2", ProviderCut, "broke off"),
        ("reset after 2", ProviderCut, "broke off"),
        ("stall after 2", ProviderTimeout, "silent"),
    ],
)
async def test_what_came_before_a_failure_is_delivered(
    kind: Kind, upstream: Upstream, script: str, error: type[ProviderError], said: str
) -> None:
    naps = Naps()
    async with opened(upstream.url, kind=kind, sleep=naps, between_tokens_timeout_s=0.2) as provider:
        deltas, failure = await until_failure(provider, script)

    assert text_of(deltas) == "1 2 "
    assert type(failure) is error
    assert said in failure.message
    assert not any(isinstance(delta, StopDelta) for delta in deltas)
    assert len(upstream.exchanges) == 1, "nothing is tried again after the first token"
    assert naps.taken == []


@pytest.mark.parametrize(
    ("script", "error", "tries"),
    [
        ("status 400", ProviderRefused, 1),
        ("status 401", ProviderRefused, 1),
        ("status 404", ProviderRefused, 1),
        ("status 302", ProviderRefused, 1),
        ("status 408", ProviderTimeout, 3),
        ("status 409", ProviderRefused, 3),
        ("status 429", ProviderBusy, 3),
        ("status 500", ProviderError, 3),
        ("status 502", ProviderError, 3),
        ("status 503", ProviderBusy, 3),
        ("status 529", ProviderBusy, 3),
        ("html", ProviderNonsense, 1),
        ("json", ProviderNonsense, 1),
        ("cut after 0", ProviderCut, 3),
        ("reset after 0", ProviderCut, 3),
    ],
)
async def test_a_failure_before_the_first_token_is_tried_again_where_it_may_help(
    kind: Kind, upstream: Upstream, script: str, error: type[ProviderError], tries: int
) -> None:
    async with opened(upstream.url, kind=kind) as provider:
        deltas, failure = await until_failure(provider, script)

    assert deltas == []
    assert type(failure) is error
    assert len(upstream.exchanges) == tries


@pytest.mark.parametrize("script", ["hang", "silence"])
async def test_a_first_token_that_does_not_come_is_not_asked_for_again(
    kind: Kind, upstream: Upstream, script: str
) -> None:
    async with opened(upstream.url, kind=kind, first_token_timeout_s=0.1) as provider:
        _, failure = await until_failure(provider, script)
        await upstream.exchanges[0].ended.wait()

    assert type(failure) is ProviderTimeout
    assert "0.1 s" in failure.message
    assert [exchange.outcome for exchange in upstream.exchanges] == ["closed"]


@pytest.mark.promise("A-03")
async def test_pauses_between_tries_grow_and_are_jittered(kind: Kind, upstream: Upstream) -> None:
    long, short = Naps(), Naps()
    async with opened(upstream.url, kind=kind, sleep=long, jitter=1.0, retries=6) as provider:
        await until_failure(provider, "status 500")
    async with opened(upstream.url, kind=kind, sleep=short, jitter=0.0, retries=2) as provider:
        await until_failure(provider, "status 500")

    assert long.taken == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert short.taken == [0.25, 0.5]


@pytest.mark.promise("A-03")
async def test_a_server_that_recovers_is_answered_from(kind: Kind, upstream: Upstream) -> None:
    naps = Naps()
    async with opened(upstream.url, kind=kind, sleep=naps) as provider:
        deltas = await deltas_of(provider, "status 429 twice retry-after 3")

    assert text_of(deltas) == "1 2 3 "
    assert naps.taken == [3.0, 3.0]


@pytest.mark.promise("A-03")
async def test_a_server_that_is_overloaded_in_its_stream_is_asked_again(upstream: Upstream) -> None:
    naps = Naps()
    async with opened(upstream.url, kind="anthropic", sleep=naps) as provider:
        deltas = await deltas_of(provider, "overloaded")

    assert text_of(deltas) == "1 2 3 "
    assert naps.taken == [0.5]


@pytest.mark.promise("A-03")
async def test_a_server_cannot_make_us_wait_for_long(kind: Kind, upstream: Upstream) -> None:
    naps = Naps()
    async with opened(upstream.url, kind=kind, sleep=naps, retries=1) as provider:
        await until_failure(provider, "status 503 retry-after 86400")

    assert naps.taken == [20.0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.5", 1.5),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 20.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
async def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    assert retry_after_s({"Retry-After": value}) == expected
    assert retry_after_s({}) is None


async def test_a_server_that_is_not_there_is_unreachable(kind: Kind) -> None:
    naps = Naps()
    async with opened(f"http://127.0.0.1:{free_port()}/v1", kind=kind, sleep=naps) as provider:
        _, failure = await until_failure(provider, "count 1")

    assert type(failure) is ProviderUnreachable
    assert len(naps.taken) == 2
    assert "127.0.0.1" not in failure.message


async def test_a_server_that_restarts_between_two_turns_is_found_again(kind: Kind, upstream: Upstream) -> None:
    port = int(upstream.url.split(":")[2].partition("/")[0])
    async with opened(upstream.url, kind=kind) as provider:
        await deltas_of(provider, "count 1")
        await upstream.stop()
        async with Upstream(port):
            assert text_of(await deltas_of(provider, "count 2")) == "1 2 "


@pytest.mark.promise("C-05")
async def test_a_refusal_tells_the_servers_own_words(kind: Kind, upstream: Upstream) -> None:
    request = ModelRequest(model="m", messages=(PromptMessage("user", " "),))
    async with opened(upstream.url, kind=kind) as provider:
        with pytest.raises(ProviderRefused, match=r"content is empty|messages are missing"):
            await deltas_of(provider, request)


@pytest.mark.promise("X-05")
async def test_the_key_is_in_no_message_and_no_log(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Upstream(key="sk-right") as upstream:
        async with opened(upstream.url, kind=kind, api_key="sk-very-secret") as provider:
            _, refused = await until_failure(provider, "secret words")
        async with opened(upstream.url, kind=kind, api_key="sk-right") as provider:
            _, echoed = await until_failure(provider, "status 400")
            _, busy = await until_failure(provider, "status 503")

    sent = upstream.exchanges[0].headers
    assert sent.get("Authorization") == ("Bearer sk-very-secret" if kind == "openai" else None)
    assert sent.get("x-api-key") == ("sk-very-secret" if kind == "anthropic" else None)
    assert "credentials" in refused.message
    assert echoed.message.endswith(f"answers 400 to {'Bearer …' if kind == 'openai' else '…'}.")
    assert "provider_busy" in caplog.text
    told = f"{refused!r} {echoed!r} {busy!r} {caplog.text}"
    assert [word for word in ("sk-very-secret", "sk-right", "secret words") if word in told] == []


async def test_a_message_is_short_and_never_a_page_of_html() -> None:
    long = refusal(400, "text/plain", b"x" * 100_000)
    page = refusal(502, "text/html", b"<html><h1>Bad gateway</h1></html>")

    assert len(long.message.encode()) < MAX_ERROR_BYTES
    assert page.message == "The model's provider failed (502)."
    assert refusal(500, "application/json", b'{"detail": "out of memory"}').message.endswith("(500): out of memory")
    assert refusal(200, "application/json", b'{"error": "no such model"}').message == "no such model"


async def test_how_long_an_agent_thinks_between_two_pieces_is_its_own_affair(kind: Kind, upstream: Upstream) -> None:
    async with (
        opened(upstream.url, kind=kind, between_tokens_timeout_s=0.1) as provider,
        aclosing(provider.stream(asking("count 40 at 100/s"))) as deltas,
    ):
        first = await anext(deltas)
        await asyncio.sleep(0.5)  # longer than the model may be silent, which it isn't
        rest = [delta async for delta in deltas]
    assert text_of([first, *rest]) == "".join(f"{number} " for number in range(1, 41))
