"""A model behind TLS that does not say goodbye: neither its end nor ours is waited for."""

from pathlib import Path

import pytest
from anyio import to_thread

from tests.process.checker import text_of, violations
from tests.process.history import History
from tests.process.recorder import Recorder, access, reading
from tests.process.tls_upstream import tls_upstream
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

UPSTREAM_CLOSED_S = 20.0  # two are promised; this only catches one that is waited for


@pytest.mark.promise("R-04", "R-12")
async def test_a_connection_under_tls_is_let_go_and_may_go_without_farewell(tmp_path: Path) -> None:
    with tls_upstream(tmp_path) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.url, "SSL_CERT_FILE": str(upstream.certificate)}
        server = ServerProcess(f"sqlite:///{tmp_path / 'legato.db'}", env=environment, log=tmp_path / "server.log")
        with server:
            async with access(server.url) as to:
                session = Recorder(to, (await to.client.create_session()).id)
                async with reading(session.reader("follows")):
                    failed = await session.ended((await session.say("vanish")).turn.id)
                    sent = await session.say("for ever")
                    await session.readers[0].until_type("token", 2)
                    await session.cancel(sent.turn.id)
                    assert await to_thread.run_sync(upstream.gone.wait, UPSTREAM_CLOSED_S)
                    told = await session.history()
    assert violations(History(sessions=(told,))) == []
    assert failed.error is not None
    assert (failed.status, failed.error.code, text_of(told.messages[1])) == ("failed", "provider_cut", "1 2 ")
