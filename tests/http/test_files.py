"""Attachments over HTTP (promise S-18): uploaded first, told by their bytes, sent to models that can take them."""

import base64
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import httpx2
import pytest

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.config import Config
from legato.client import AsyncClient
from legato.core.errors import AttachmentUnsupported, FileInUse, FileNotFound
from legato.core.files import PIECE_BYTES
from legato.core.ids import new_id
from legato.core.model import FilePart
from legato.core.sniffing import sniff
from legato.engine.settings import EngineSettings
from legato.providers.catalog import ModelEntry
from legato.web.settings import WebSettings
from tests.http.acting import running
from tests.http.conftest import PROVIDER_KEY, Served, by_header
from tests.http.puppets import Puppets
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.attachments import KINDS, REFUSED, TEXTS, noise, pdf, png, rot
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-18")]

MOST: Final = 20 << 20
SEES: Final = ("text", "images", "pdf")
MODELS: Final = (
    ModelEntry(id="openai:sees", context_window=100_000, capabilities=SEES),
    ModelEntry(id="openai:blind", context_window=100_000, capabilities=("text",)),
    ModelEntry(id="openai:tight", context_window=2_600, capabilities=SEES),
)


class Seeing:
    """A user of a server whose models see, or don't; ``prompts`` are the messages that they were given."""

    def __init__(self, api: Api, upstream: Upstream, chat: Legato) -> None:
        self.api = api
        self.chat = chat
        self._upstream = upstream

    @property
    def prompt(self) -> Any:
        return self._upstream.exchanges[-1].body["messages"]


@pytest.fixture
async def seeing(own_database: str) -> AsyncIterator[Seeing]:
    async with Upstream(key=PROVIDER_KEY) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": PROVIDER_KEY}
        settings = EngineSettings(grace_s=0.1, titles=False, max_files_mb=64, tidy_every_s=0.1)
        chat = Legato(own_database, config=Config(models=MODELS), environment=environment, settings=settings)
        for name in ("sees", "blind", "tight"):
            chat.agent(name, model=f"openai:{name}", reserve=100)(assistant)
        async with serving(chat, by_header) as url, user_of(url) as api:
            with anyio.fail_after(60):
                yield Seeing(api, upstream, chat)


async def upload(api: Api, content: bytes | None = None, name: str = "cat.png", **options: Any) -> Any:
    content = png() if content is None else content
    return await api.call("POST", "/v1/files", status=201, content=content, params={"name": name}, **options)


async def send(api: Api, session: str, *files: Any, text: str = "Look", status: int = 202, **fields: Any) -> Any:
    parts = [{"type": "file", "file_id": each if isinstance(each, str) else each["id"]} for each in files]
    body = {"parts": [*parts, *([{"type": "text", "text": text}] if text else [])], **fields}
    return await api.call("POST", f"{session}/turns", body, status=status)


async def answered(api: Api, session: str, *files: Any, **fields: Any) -> Any:
    turn = (await send(api, session, *files, **fields))["turn"]
    ended = await api.over(session, turn["id"])
    assert ended["status"] == "completed", ended["error"]
    return ended


def data_of(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("media_type", KINDS)
async def test_a_file_goes_in_and_comes_out(api: Api, media_type: str) -> None:
    content = KINDS[media_type]
    told = await upload(api, content, "any.exe", headers={"Content-Type": "application/x-evil"})
    assert told["id"].startswith("fil_")
    assert (told["name"], told["media_type"], told["size"]) == ("any.exe", media_type, len(content))
    assert told["digest"] == hashlib.sha256(content).hexdigest()
    assert (told["session_id"], told["message_id"]) == (None, None)
    assert await api.call("GET", f"/v1/files/{told['id']}") == told
    response = await api.ask("GET", f"/v1/files/{told['id']}/content")
    assert response.content == content
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("sandbox")
    assert response.headers["cache-control"].startswith("no-store")
    how = "inline" if media_type.startswith("image/") else "attachment"
    assert response.headers["content-disposition"] == f"{how}; filename=\"any.exe\"; filename*=UTF-8''any.exe"


@pytest.mark.parametrize("name", TEXTS)
async def test_what_pretends_to_be_an_image_is_text_to_be_saved(api: Api, name: str) -> None:
    told = await upload(api, TEXTS[name], "cat.png", headers={"Content-Type": "image/png"})
    assert told["media_type"] == "text/plain"
    response = await api.ask("GET", f"/v1/files/{told['id']}/content")
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_nothing_of_all_that_is_refused(api: Api, name: str) -> None:
    for claimed in ("cat.png", "notes.txt", "paper.pdf"):
        await api.refused(415, "file_unsupported", "POST", "/v1/files", content=REFUSED[name], params={"name": claimed})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ('a"; filename="b.html', 'a"; filename="b.html'),
        ("a\r\nSet-Cookie: x=y", "a Set-Cookie: x=y"),
        ("", "file"),
        ("猫.png", "猫.png"),
    ],
)
async def test_a_name_is_only_shown(api: Api, given: str, name: str) -> None:
    told = await upload(api, name=given)
    assert told["name"] == name
    response = await api.ask("GET", f"/v1/files/{told['id']}/content")
    assert "set-cookie" not in response.headers
    disposition = response.headers["content-disposition"]
    assert disposition.count('"') == 2
    assert disposition.startswith("inline; filename=")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="cat.png"', "cat.png"),
        ("attachment; filename=cat.png", "cat.png"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%E7%8C%AB.png", "猫.png"),
        ('attachment; filename="a\\"b.png"', 'a"b.png'),
        ("attachment", "file"),
    ],
)
async def test_a_name_may_stand_in_the_disposition(api: Api, disposition: str, name: str) -> None:
    headers = {"Content-Disposition": disposition}
    told = await api.call("POST", "/v1/files", status=201, content=png(), headers=headers)
    assert told["name"] == name


async def test_an_empty_file_is_none(api: Api) -> None:
    await api.refused(422, "invalid_request", "POST", "/v1/files", content=b"", params={"name": "a.txt"})


async def test_twenty_megabytes_and_not_a_byte_more(seeing: Seeing) -> None:
    api = seeing.api
    told = await upload(api, noise(MOST))
    assert told["size"] == MOST
    response = await api.ask("GET", f"/v1/files/{told['id']}/content")
    assert hashlib.sha256(response.content).hexdigest() == told["digest"]

    async def streamed() -> AsyncIterator[bytes]:
        content = noise(MOST + 1)
        for at in range(0, len(content), PIECE_BYTES):
            yield content[at : at + PIECE_BYTES]

    for body in (noise(MOST + 1), streamed()):
        try:
            await api.refused(413, "body_too_large", "POST", "/v1/files", content=body)
        except httpx2.WriteError:  # it is refused while it is still being sent
            continue


async def test_what_breaks_off_leaves_nothing(served: Served, api: Api) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield noise(3 * PIECE_BYTES)
        raise RuntimeError("the line is cut")

    with pytest.raises(RuntimeError, match="cut"):
        await api.ask("POST", "/v1/files", content=torn())
    attachments = served.chat.engine.attachments
    with anyio.fail_after(10):
        while attachments.arriving:
            await anyio.lowlevel.checkpoint()
    kept = await upload(api, noise(3 * PIECE_BYTES))
    assert kept["size"] == 3 * PIECE_BYTES


async def test_nobody_else_has_it(api: Api, stranger: Api) -> None:
    told = await upload(api)
    session = await stranger.session("echo")
    said = []
    for file_id in (told["id"], new_id("fil")):
        answers = [
            await stranger.ask("GET", f"/v1/files/{file_id}"),
            await stranger.ask("GET", f"/v1/files/{file_id}/content"),
            await stranger.ask("DELETE", f"/v1/files/{file_id}"),
            await stranger.ask("POST", f"{session}/turns", {"parts": [{"type": "file", "file_id": file_id}]}),
        ]
        assert [answer.status_code for answer in answers] == [404] * 4
        said.append([answer.text.replace(file_id, "it") for answer in answers])
    assert said[0] == said[1]
    assert (await api.ask("GET", f"/v1/files/{told['id']}/content")).content == png()


async def test_an_unused_file_can_be_deleted_and_a_used_one_goes_with_its_session(api: Api) -> None:
    told = await upload(api)
    await api.call("DELETE", f"/v1/files/{told['id']}", status=204)
    await api.refused(404, "file_not_found", "GET", f"/v1/files/{told['id']}")
    await api.refused(404, "file_not_found", "DELETE", f"/v1/files/{told['id']}")
    used, session = await upload(api), await api.session("echo")
    await answered(api, session, used)
    await api.refused(409, "file_in_use", "DELETE", f"/v1/files/{used['id']}")
    await api.call("DELETE", session, status=204)
    await api.refused(404, "file_not_found", "GET", f"/v1/files/{used['id']}")
    await api.refused(404, "file_not_found", "GET", f"/v1/files/{used['id']}/content")


async def test_a_message_tells_what_its_files_are(api: Api) -> None:
    told, session = await upload(api, name="Rumpelstilzchen.png"), await api.session("echo")
    await answered(api, session, told)
    message = (await api.call("GET", f"{session}/messages"))["data"][0]
    part = {"type": "file", "file_id": told["id"], "name": told["name"], "media_type": "image/png"}
    assert message["parts"] == [{**part, "size": told["size"], "tokens": 800}, {"type": "text", "text": "Look"}]
    assert (await api.call("GET", f"/v1/files/{told['id']}"))["message_id"] == message["id"]
    events = [event for event in await api.journal(session) if event["type"] == "message"]
    assert events[0]["data"]["message"]["parts"] == message["parts"]
    found = await api.call("GET", "/v1/search", params={"q": "rumpelstilz"})
    assert [hit["message_id"] for hit in found["data"]] == [message["id"]]


async def test_files_alone_are_a_message_and_nothing_is_none(api: Api) -> None:
    session = await api.session("echo")
    await answered(api, session, await upload(api), text="")
    await api.refused(422, "invalid_request", "POST", f"{session}/turns", {"parts": []})
    file = {"type": "file", "file_id": (await upload(api))["id"]}
    for parts in ([{**file, "text": "x"}], [{"type": "image"}], [{"type": "file"}], [{"type": "file", "file_id": 7}]):
        await api.refused(422, "invalid_request", "POST", f"{session}/turns", {"parts": parts})


async def test_ten_files_and_not_one_more(api: Api) -> None:
    session = await api.session("echo")
    files = [await upload(api, name=f"{number}.png") for number in range(11)]
    problem = await send(api, session, *files, status=422)
    assert (problem["code"], problem["limit"], problem["given"]) == ("invalid_request", 10, 11)
    await answered(api, session, *files[:10])


async def test_a_repeat_is_the_same_turn_and_another_file_another_body(api: Api) -> None:
    session, file = await api.session("echo"), await upload(api)
    first = await send(api, session, file, message_id="mine")
    again = await send(api, session, file, message_id="mine", status=200)
    assert again["turn"]["id"] == first["turn"]["id"]
    problem = await send(api, session, await upload(api), message_id="mine", status=409)
    assert problem["code"] == "message_id_reused"


async def test_a_room_has_its_limit(sqlite: str) -> None:
    chat = Legato(sqlite, config=Config(max_files_mb=1), environment={}, web=WebSettings(max_file_bytes=900_000))
    async with serving(chat, by_header) as url, user_of(url) as api:
        await upload(api, noise(800_000))
        await upload(api, noise(800_000))  # it is there already
        problem = await api.refused(409, "files_full", "POST", "/v1/files", content=noise(800_000, seed=2))
        assert (problem["limit"], problem["used"], problem["needed"]) == (1 << 20, 800_000, 800_000)
        await api.refused(413, "body_too_large", "POST", "/v1/files", content=noise(900_001))


async def test_a_model_gets_images_documents_and_texts(seeing: Seeing) -> None:
    api = seeing.api
    session = await api.session("sees")
    paper, notes = await upload(api, pdf(), "paper.pdf"), await upload(api, "Grüezi\n".encode("utf-16"), "notes.txt")
    turn = await answered(api, session, await upload(api), paper, notes, text="What is all that?")
    assert turn["context"]["tokens"] > 3_800
    image, document, words = seeing.prompt[-1]["content"]
    assert image == {"type": "image_url", "image_url": {"url": data_of(png(), "image/png")}}
    file_data = data_of(pdf(), "application/pdf")
    assert document == {"type": "file", "file": {"filename": "paper.pdf", "file_data": file_data}}
    begins, ends = f"[file notes.txt ({notes['id']}) begins]", f"[file {notes['id']} ends]"
    assert words == {"type": "text", "text": f"{begins}\nGrüezi\n\n{ends}\n\nWhat is all that?"}


async def test_what_a_model_can_not_take_is_refused_and_named(seeing: Seeing) -> None:
    api = seeing.api
    session = await api.session("blind")
    for content, media_type in ((png(), "image/png"), (pdf(), "application/pdf")):
        file = await upload(api, content, "cat.x")
        problem = await send(api, session, file, status=422)
        assert problem["code"] == "attachment_unsupported"
        assert (problem["model_id"], problem["media_type"]) == ("openai:blind", media_type)
        assert problem["file_id"] == file["id"]
        assert "openai:blind" in problem["detail"]
        assert "cat.x" in problem["detail"]
        await answered(api, session, file, model_id="openai:sees")
    await answered(api, session, await upload(api, b"words", "notes.txt"), text="")
    assert "words" in seeing.prompt[-1]["content"]


async def test_a_model_that_does_not_see_is_told_what_was_there(seeing: Seeing) -> None:
    api = seeing.api
    session = await api.session("blind")
    files = [await upload(api), await upload(api, pdf(), "paper.pdf"), await upload(api, b"words", "notes.txt")]
    await answered(api, session, *files, model_id="openai:sees")
    await api.answered(session, "And now?")
    asked = seeing.prompt[0]["content"]
    assert asked.startswith("[file notes.txt"), asked
    assert "[image cat.png was here: this model can't see it]" in asked
    assert "[document paper.pdf was here: this model can't read it]" in asked
    assert asked.endswith("\n\nLook")
    assert seeing.prompt[-1]["content"] == "And now?"


async def test_files_cost_what_they_cost_of_the_window(seeing: Seeing) -> None:
    api = seeing.api
    session = await api.session("tight")
    await answered(api, session, await upload(api))
    problem = await send(api, session, *[await upload(api, png(100 + number, 9)) for number in range(4)], status=422)
    assert problem["code"] == "context_overflow"
    assert problem["needed"] >= 3_200
    words = b"word " * 4_000
    sniffed = sniff([words])
    assert sniffed is not None
    problem = await send(api, session, await upload(api, words, "long.txt"), status=422)
    assert problem["code"] == "context_overflow"
    assert problem["needed"] >= sniffed.tokens
    turn = await answered(api, session, *[await upload(api, png(200 + number, 9)) for number in range(2)])
    assert turn["context"]["dropped"] == 2  # with the image before
    assert len(seeing.prompt[-1]["content"]) == 3


async def test_what_one_request_carries_has_its_limit(seeing: Seeing) -> None:
    api = seeing.api
    session = await api.session("sees")
    large = [await upload(api, noise(13 << 20, seed), f"{seed}.png") for seed in (1, 2)]
    problem = await send(api, session, *large, status=422)
    assert (problem["code"], problem["limit"]) == ("attachments_too_large", 24 << 20)
    await answered(api, session, large[0], text="one")
    await answered(api, session, large[1], text="two")
    first, second = seeing.prompt[0]["content"], seeing.prompt[-1]["content"]
    assert first == "[image 1.png was here: too much to be sent again]\n\none"
    assert [part["type"] for part in second] == ["image_url", "text"]


@pytest.mark.promise("S-14")
async def test_an_edit_keeps_the_files_unless_it_names_others(seeing: Seeing) -> None:
    api = seeing.api
    session, cat = await api.session("sees"), await upload(api)
    first = await answered(api, session, cat, text="What is it?")
    edit = {"text": "Whose is it?", "edits": first["message_id"], "message_id": "mine"}
    turn = (await api.call("POST", f"{session}/turns", edit, status=202))["turn"]
    again = (await api.call("POST", f"{session}/turns", edit))["turn"]
    assert again["id"] == turn["id"]
    as_parts = {"parts": [{"type": "text", "text": "Whose is it?"}], "edits": first["message_id"]}
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns", as_parts | {"message_id": "mine"})
    assert (await api.over(session, turn["id"]))["status"] == "completed"
    image, words = seeing.prompt[-1]["content"]
    assert image == {"type": "image_url", "image_url": {"url": data_of(png(), "image/png")}}
    assert words == {"type": "text", "text": "Whose is it?"}

    blind = edit | {"message_id": "other", "model_id": "openai:blind"}
    await api.refused(422, "attachment_unsupported", "POST", f"{session}/turns", blind)
    other = {"model_id": "openai:blind"}
    await api.refused(422, "attachment_unsupported", "POST", f"{session}/turns/{turn['id']}/retry", other)
    bare = (await api.call("POST", f"{session}/turns", as_parts, status=202))["turn"]
    assert (await api.over(session, bare["id"]))["status"] == "completed"
    assert seeing.prompt[-1]["content"] == "Whose is it?"


async def test_an_agent_can_read_them(api: Api, puppets: Puppets) -> None:
    session, file = await api.session(), await upload(api)
    turn = (await send(api, session, file))["turn"]
    puppet = await puppets.of(turn["id"])
    assert [(each.file_id, each.name) for each in puppet.turn.files] == [(file["id"], "cat.png")]
    assert await puppet.turn.read(puppet.turn.files[0]) == png()
    puppet.say("Nice")
    puppet.end()
    await api.over(session, turn["id"])


@pytest.mark.promise("X-06")
async def test_a_damaged_file_ends_no_conversation(seeing: Seeing) -> None:
    api, store = seeing.api, seeing.chat.engine.store
    session, cat = await api.session("sees"), await upload(api)
    await answered(api, session, cat)
    mine = (await api.state(session))["messages"][0]["parts"][0]["file_id"]
    await store.write(rot, mine)

    turn = await answered(api, session, text="And now?")

    assert turn["status"] == "completed"
    assert seeing.prompt[0]["content"] == "[image cat.png was here: it is damaged]\n\nLook"
    await api.refused(500, "corrupted", "GET", f"/v1/files/{mine}/content")
    assert not (await api.state(session))["session"]["quarantined"]


@pytest.mark.promise("X-06")
async def test_an_agent_that_reads_a_damaged_one_fails_and_the_session_goes_on(
    served: Served, api: Api, puppets: Puppets
) -> None:
    session, file = await api.session(), await upload(api)
    turn = (await send(api, session, file))["turn"]
    puppet = await puppets.of(turn["id"])
    await served.chat.engine.store.write(rot, file["id"])
    puppet.do(lambda: puppet.turn.read(puppet.turn.files[0]))
    ended = await api.over(session, turn["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "corrupted")
    assert not (await api.state(session))["session"]["quarantined"]


async def test_what_is_deleted_while_it_is_read_breaks_off(api: Api, puppets: Puppets) -> None:
    content = noise(12 << 20)
    session, file = await api.session("echo"), await upload(api, content)
    await answered(api, session, file)
    read = 0

    async def read_on(response: httpx2.Response) -> None:
        nonlocal read
        async for piece in response.aiter_raw():
            if not read:
                await api.call("DELETE", session, status=204)
            read += len(piece)

    async with api.http.stream("GET", f"/v1/files/{file['id']}/content") as response:
        with pytest.raises(httpx2.RemoteProtocolError):
            await read_on(response)
    assert read < len(content)


async def test_running_turns_go_on_while_files_come(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = await running(api, puppets, session)
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(upload, api, noise(2 << 20, number))
        puppet = await puppets.of(turn_id)
        puppet.say("And on")
        puppet.end()
        assert (await api.over(session, turn_id))["status"] == "completed"


async def test_the_client_uploads_and_sends(served: Served, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png())
    async with AsyncClient(served.url, headers=dict(api.http.headers)) as client:
        one, two = await client.upload(path), await client.upload(b"words", "notes.txt")
        assert (one.name, one.media_type, two.media_type) == ("cat.png", "image/png", "text/plain")
        assert await client.file(one.id) == one
        session = await client.create_session("echo")
        answer = await client.answer(session.id, "", files=[one, two.id])
        await answer.result()
        parts = (await client.messages(session.id))[0].parts
        assert [part.name for part in parts if isinstance(part, FilePart)] == ["cat.png", "notes.txt"]
        assert b"".join([piece async for piece in client.file_content(one.id)]) == png()
        with pytest.raises(FileInUse):
            await client.delete_file(one.id)
        with pytest.raises(FileNotFound):
            await client.file(new_id("fil"))
        unused = await client.upload(b"words")
        assert unused.name == "file"
        await client.delete_file(unused.id)
        model = await client.create_session("model")
        with pytest.raises(AttachmentUnsupported):
            await client.send(model.id, "Look", files=[one])


@pytest.mark.promise("R-14")
@pytest.mark.parametrize("path", ["/v1/files", "/v1/import"])
async def test_a_disk_without_room_is_said_so(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("w+b"))  # noqa: SIM115
    response = await api.http.post(path, content=png() * 9_000)
    assert (response.status_code, response.json()["code"]) == (507, "store_full")
    assert "retry-after" in response.headers


@pytest.mark.promise("X-04")
async def test_who_uploads_without_an_end_keeps_nobody_else_from_it(served: Served, api: Api, stranger: Api) -> None:
    held = anyio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await held.wait()

    async def hold() -> None:
        assert (await api.ask("POST", "/v1/files", content=slow())).status_code == 201

    arriving = served.chat.engine.attachments.arriving
    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(hold)
        while arriving.total() < 16:
            await anyio.lowlevel.checkpoint()
        await api.refused(429, "busy", "POST", "/v1/files", content=b"one more")
        await upload(stranger)
        arriving["many others"] = 240
        await stranger.refused(429, "busy", "POST", "/v1/files", content=b"one more")
        del arriving["many others"]
        held.set()
    await upload(api)
