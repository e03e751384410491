"""Attachments in a started Legato: its duties run by themselves."""

import pytest

from legato import Legato
from legato.core.errors import FileNotFound
from legato.engine.attachments import Attachments
from legato.engine.settings import EngineSettings
from tests.support.attachments import counted, file, png

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-18")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


async def until_gone(attachments: Attachments, file_id: str) -> None:
    while True:
        await attachments.get("ann", file_id)


async def test_what_nobody_sends_goes_by_itself(url: str) -> None:
    settings = EngineSettings(grace_s=0.1, titles=False, unused_files_s=0.0, sweep_files_s=0.05)
    chat = Legato(url, settings=settings, environment={})
    async with chat.lifespan():
        attachments = chat.engine.attachments
        kept = await attachments.keep("ann", file(png()), "cat.png")
        with pytest.raises(FileNotFound):
            await until_gone(attachments, kept.id)
        while await counted(chat.engine.store) != (0, 0, 0):
            continue
