"""Whatever is sent, and wherever: a clear refusal or a clean acceptance, on either database, and never a 500."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

import pytest

from legato.core.text import normalise
from tests.http.speaking import Api, check_problem

pytestmark = [pytest.mark.anyio, pytest.mark.promise("H-01")]

NASTY: Final = (
    "\0a\0b",
    "\ud800",
    "\udc00\ud83c",
    "a\ud83c\udf77b",
    "\r\n\r\ndata: x\n\n",
    "\u2028\u202e\ufeff\uffff",
    "'; DROP TABLE sessions; -- %00%s{}\\",
    "👩‍👩‍👧" * 20,
    "x" * 100_000,
)


def as_json(value: object) -> dict[str, Any]:
    """For a request: escapes carry what UTF-8 can't."""
    return {"content": json.dumps(value).encode(), "headers": {"Content-Type": "application/json"}}


async def is_whole(api: Api, session: str) -> None:
    """The session can be read in every way, and all ways agree."""
    state = await api.state(session)
    listed = (await api.call("GET", "/v1/sessions", params={"limit": 200}))["data"]
    assert next(one for one in listed if one["id"] == state["session"]["id"]) == state["session"]
    await api.call("GET", f"{session}/messages")
    told = [event["data"]["session"] for event in await api.journal(session) if event["type"] == "session"]
    assert told[-1] | {"last_activity": ""} == state["session"] | {"last_activity": ""}


def places(session: str, turn_id: str, text: str) -> list[tuple[str, str, Any]]:
    """Every string that a JSON body takes."""
    new = [
        {"agent_id": text},
        {"agent_id": "model", "model_id": text},
        {"title": text},
        {"context": text},
        {"id": text},
    ]
    data: list[Any] = [{text: 1}, {"a": text}, {"a": [{"b": [text]}]}]
    send = [
        {"text": text},
        {"parts": [{"type": "text", "text": text}]},
        {"parts": [{"type": text, "text": "a"}]},
        {"text": "a", "message_id": text},
        {"text": "a", "model_id": text},
        {"text": "a", "mode": text},
        {"text": "a", text: 1},
    ]
    return [
        *(("POST", "/v1/sessions", body) for body in new),
        *(("POST", "/v1/sessions", {"metadata": value}) for value in data),
        ("PATCH", session, {"title": text}),
        *(("PATCH", session, {"metadata": value}) for value in data),
        *(("POST", f"{session}/turns", body) for body in send),
        *(("POST", f"{session}/turns/{turn_id}/{verb}", {"message_id": text}) for verb in ("continue", "retry")),
    ]


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:8]))
async def test_a_nasty_string_anywhere_in_a_body(api: Api, text: str) -> None:
    session = await api.session("echo")
    turn = await api.answered(session)
    for verb, path, body in places(session, turn["id"], text):
        response = await api.ask(verb, path, **as_json(body))
        assert response.status_code < 500, (verb, path, response.text)
        if response.status_code == 201:
            made = response.json()
            assert made["title"] in (None, normalise(text))
            assert made["context"] in (None, normalise(text))
            assert (await api.state(f"/v1/sessions/{made['id']}"))["session"] == made
    last = (await api.state(session))["turns"][-1]
    await api.over(session, last["id"])
    await is_whole(api, session)
    said = [message for message in await api.texts(session) if message.startswith("You said: ")]
    if len(text) < 50_000:
        assert said.count("You said: " + normalise(text)) == 2


async def test_a_nasty_string_in_a_path_or_a_query(api: Api) -> None:
    session = await api.session("echo")
    turn = await api.answered(session)
    for text in (*NASTY[:-1], "x" * 5_000, "\x7f\x1f", "ses_" + "\0" * 26):
        raw = quote(text.encode("utf-8", "surrogatepass"), safe="")
        for path in (
            f"/v1/sessions/{raw}",
            f"/v1/sessions/{raw}/stats",
            f"/v1/sessions/{raw}/messages",
            f"/v1/sessions/{raw}/events?after=0",
            f"{session}/turns/{raw}",
            f"/v1/agents/{raw}",
            f"/v1/models/{raw}",
            f"/v1/models/openai:{raw}",
            f"/v1/{raw}",
        ):
            response = await api.ask("GET", path)
            assert response.status_code == 404 or path.startswith("/v1/models/openai:"), (path, response.text)
            assert response.status_code < 500, (path, response.text)
        for path in (f"/v1/sessions/{raw}/turns", f"/v1/sessions/{raw}/clear", f"{session}/turns/{raw}/cancel"):
            assert (await api.ask("POST", path, {"text": "x"})).status_code == 404, path
        for path in (
            f"/v1/sessions?cursor={raw}",
            f"/v1/sessions?agent_id={raw}",
            f"/v1/sessions?status={raw}",
            f"/v1/sessions?limit={raw}",
            f"{session}/messages?cursor={raw}",
            f"{session}/events?after={raw}",
            f"{session}/events?after=0&until={raw}",
            f"{session}/events?after=0&wait={raw}",
        ):
            assert (await api.ask("GET", path)).status_code < 500, path
        async with api.http.stream(
            "GET", f"{session}/events?after=0&until={raw}", headers={"Accept": "text/event-stream"}
        ) as refused:
            await refused.aread()
            check_problem(refused)
    assert (await api.turn(session, turn["id"])) == turn


async def test_a_nasty_string_in_a_header(api: Api) -> None:
    session = await api.session("echo")
    for value in (b"\xff\xfe", b"x" * 5_000, "é🎼".encode(), b"'; --", b"a, b;q=x", b"*", b"-", b"0", b"7f3a."):
        for name in ("Idempotency-Key", "Accept-Language", "Last-Event-ID", "Accept", "Content-Type"):
            options = {"headers": {name.encode(): value}}
            sent = await api.ask("POST", f"{session}/turns", content=b'{"text":"Hi"}', **options)
            assert sent.status_code in (200, 202, 409, 422), (name, value, sent.text)
            read = await api.ask("GET", f"{session}/events", **options)
            assert read.status_code in (200, 400), (name, value, read.text)
    await is_whole(api, session)


@pytest.mark.parametrize("depth", [30, 33, 950, 100_000])
async def test_what_is_deep(api: Api, depth: int) -> None:
    session = await api.session("echo")
    lists, maps = "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth
    for body in (lists, maps, f'{{"metadata":{{"a":{lists}}}}}', f'{{"metadata":{maps}}}', f'{{"text":{lists}}}'):
        for verb, path in (("POST", "/v1/sessions"), ("PATCH", session), ("POST", f"{session}/turns")):
            response = await api.ask(verb, path, **as_json(None) | {"content": body.encode()})
            assert response.status_code < 500, (verb, path, response.text)
            if response.status_code == 201:
                await is_whole(api, f"/v1/sessions/{response.json()['id']}")
    await is_whole(api, session)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"text":"Hi"',
        b'{"text":"Hi"}}',
        b"text=Hi",
        b'{"text":"\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"\x1f\x8b\x08",
        b'{"text":"a\nb"}',
        b"null",
        b"7",
        b'{"text":"Hi","mode":null}',
        b'{"text":' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_malformed_json_is_an_invalid_request(api: Api, body: bytes) -> None:
    session = await api.session("echo")
    headers = {"Content-Type": "application/json"}
    await api.refused(422, "invalid_request", "POST", f"{session}/turns", content=body, headers=headers)
    assert [event["type"] for event in await api.journal(session)] == ["session"]


@pytest.mark.promise("X-01")
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
async def test_a_body_is_read_as_json_only_where_it_says_so(api: Api, content_type: str | None) -> None:
    """A form of a foreign page can send these kinds without asking; none of them makes a message."""
    session = await api.session("echo")
    headers = {"Content-Type": content_type} if content_type else {}
    await api.refused(422, "invalid_request", "POST", f"{session}/turns", content=b'{"text":"Hi"}', headers=headers)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 30, "-" + "9" * 4_000, "0." + "1" * 9_000]
)
async def test_a_number_that_is_none(api: Api, value: str) -> None:
    session = await api.session("echo")
    for verb, path in (("POST", "/v1/sessions"), ("PATCH", session)):
        response = await api.ask(verb, path, **as_json(None) | {"content": f'{{"metadata":{{"a":{value}}}}}'.encode()})
        assert response.status_code < 500, response.text
        if response.is_success:
            await is_whole(api, f"/v1/sessions/{response.json()['id']}")
    await is_whole(api, session)


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A body that doesn't say how long it will be."""
    yield b'{"text":"'
    for _ in range(size // 1_000):
        yield b"x" * 1_000
    yield b'"}'


@pytest.mark.promise("H-01")
async def test_a_body_that_is_too_large_is_413_declared_or_not(api: Api) -> None:
    session = await api.session("echo")
    headers = {"Content-Type": "application/json"}
    declared = b'{"text":"' + b"x" * (1 << 20) + b'"}'
    problem = await api.refused(413, "body_too_large", "POST", f"{session}/turns", content=declared, headers=headers)
    assert problem["limit"] == 1 << 20
    for size in (1_100_000, 5_000_000):
        await api.refused(413, "body_too_large", "POST", f"{session}/turns", content=pieces(size), headers=headers)
    await api.refused(422, "invalid_request", "POST", f"{session}/turns", content=pieces(1_000_000), headers=headers)
    await api.call("POST", f"{session}/turns", content=pieces(40_000), headers=headers, status=202)


async def test_what_is_not_there_and_what_is_not_done_are_problems(api: Api) -> None:
    for path in ("/v2/sessions", "/v1", "/v1/", "/favicon.ico", "/v1/events/x"):
        await api.refused(404, "not_found", "GET", path)
    session = await api.session("echo")
    for verb, path in (("PUT", session), ("DELETE", "/v1/sessions"), ("POST", "/v1/events"), ("POST", "/healthz")):
        response = await api.ask(verb, path)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert response.headers["allow"]


async def test_an_error_is_short_and_does_not_repeat_what_was_sent(api: Api) -> None:
    canary = "canary-" + "x" * 60_000
    session = await api.session("echo")
    for path, body in (
        ("/v1/sessions", {"title": canary}),
        ("/v1/sessions", {canary: 1}),
        (f"{session}/turns", {"text": canary}),
        (f"{session}/turns", {"text": 7, "message_id": canary}),
        (f"{session}/turns", {"text": "a", "mode": canary}),
    ):
        response = await api.ask("POST", path, body)
        assert response.status_code == 422
        assert len(response.content) < 4_096
        assert canary[:500] not in response.text
