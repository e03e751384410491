"""The commands that start and look after a server, as programs of their own."""

import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.support.server import ServerProcess

# A session whose journal does not reach its head.
_DAMAGED: Final = """
    INSERT INTO sessions
        (id, owner, agent_id, agent_name, created_at, last_activity, pinned, keep, memory, metadata, head, epoch)
    VALUES ('ses_damaged', 'anna', 'demo', 'Demo', 1, 1, 0, 0, 1, '{}', 7, 0)
"""
_FOREIGN: Final = ("LEGATO_", "OPENAI_", "ANTHROPIC_", "DATABASE_URL")


def legato(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, without the developer's own settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)} | environment
    command = [sys.executable, "-m", "legato.cli", *arguments]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def query(database: Path, statement: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(database)
    try:
        found = connection.execute(statement).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a token, which may listen anywhere."""
    database = tmp_path_factory.mktemp("cli") / "legato.db"
    with ServerProcess(
        f"sqlite:///{database}", env={"LEGATO_TOKEN": "canary-token"}, args=["--host", "0.0.0.0"]
    ) as server:
        yield server


@pytest.mark.promise("X-01")
def test_serving_beyond_this_machine_needs_a_token(tmp_path: Path) -> None:
    database = tmp_path / "legato.db"
    run = legato("serve", "--host", "0.0.0.0", "--database", f"sqlite:///{database}", LEGATO_TOKEN="")
    assert run.returncode == 1
    assert "0.0.0.0" in run.stderr
    assert "LEGATO_TOKEN" in run.stderr
    assert "Traceback" not in run.stderr
    assert not database.exists()


@pytest.mark.promise("X-01", "X-05", "H-06")
def test_with_a_token_everybody_has_to_bring_it(server: ServerProcess) -> None:
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        for headers in ({}, {"Authorization": "Bearer canary-wrong"}):
            refused = http.get("/v1/sessions", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.headers["content-type"] == "application/problem+json"
        http.headers["Authorization"] = "Bearer canary-token"
        made = http.post("/v1/sessions", json={"title": "canary-title"})
        assert made.status_code == 201
        sent = http.post(f"/v1/sessions/{made.json()['id']}/turns", json={"text": "/help canary-message"})
        until = {"after": "0", "until": sent.json()["turn"]["id"]}
        told = http.get(
            f"/v1/sessions/{made.json()['id']}/events", params=until, headers={"Accept": "text/event-stream"}
        )
        assert "event: done" in told.text
    log = server.log_tail(1000)
    assert f"0.0.0.0:{server.port}" in log
    assert "canary" not in log


@pytest.mark.promise("H-06")
def test_the_doctor_leaves_a_file_alone_that_is_served(server: ServerProcess) -> None:
    doctor = legato("doctor", "--database", server.database_url)
    assert doctor.returncode == 1
    assert "BAD" in doctor.stdout
    assert "Another process serves this SQLite file" in doctor.stdout


@pytest.mark.promise("H-06")
def test_the_schema_is_upgraded_and_the_doctor_looks_it_over(tmp_path: Path) -> None:
    database = tmp_path / "legato.db"
    url = f"sqlite:///{database}"
    upgraded = legato("db", "upgrade", "--database", url)
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    revision = query(database, "SELECT version_num FROM alembic_version")[0][0]
    assert revision in upgraded.stdout
    doctor = legato("doctor", "--database", url)
    assert doctor.returncode == 0, doctor.stdout
    assert "BAD" not in doctor.stdout
    for word in ("demo", "SQLite", revision, "0 sessions", "no damaged sessions"):
        assert word in doctor.stdout
    query(database, _DAMAGED)
    keyless = {"OPENAI_BASE_URL": "not an address"}
    doctor = legato("doctor", "--database", url, **keyless)
    assert doctor.returncode == 1
    assert "1 damaged sessions: ses_damaged" in doctor.stdout
    assert "OPENAI_BASE_URL" in doctor.stdout


@pytest.mark.promise("H-06")
def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "legato.db"
    query(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    query(database, "INSERT INTO alembic_version VALUES ('9999')")
    refused = legato("db", "upgrade", "--database", f"sqlite:///{database}")
    assert refused.returncode == 1
    assert "9999" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert query(database, "SELECT name FROM sqlite_master WHERE type = 'table'") == [("alembic_version",)]


@pytest.mark.promise("H-06", "X-09")
def test_the_same_on_postgresql(postgresql: str) -> None:
    upgraded = legato("db", "upgrade", DATABASE_URL=postgresql)
    assert upgraded.returncode == 0, upgraded.stderr
    doctor = legato("doctor", "--database", postgresql)
    assert doctor.returncode == 0, doctor.stdout
    assert "PostgreSQL" in doctor.stdout


@pytest.mark.promise("H-06", "S-13")
def test_sessions_go_out_to_files_and_come_in_again(tmp_path: Path) -> None:
    with (
        ServerProcess(f"sqlite:///{tmp_path / 'one.db'}") as one,
        ServerProcess(f"sqlite:///{tmp_path / 'two.db'}") as two,
    ):
        chats = Path(__file__).parents[1] / "transfer" / "fixtures" / "chatgpt.json"
        told = legato("sessions", "import", str(chats), "--dry-run", LEGATO_URL=one.url)
        assert (told.returncode, told.stderr) == (0, "")
        assert "1 sessions with 5 messages would be imported" in told.stdout
        assert "image: files are not taken over" in told.stdout
        came = legato("sessions", "import", str(chats), LEGATO_URL=one.url)
        session_id = came.stdout.splitlines()[1].split()[0]
        for name, wanted in (
            ("a.html", "<!DOCTYPE html>"),
            ("a.md", "# Bees in winter"),
            ("a.json", '{"format":"legato"'),
        ):
            done = legato("sessions", "export", session_id, "-o", str(tmp_path / name), LEGATO_URL=one.url)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
            assert (tmp_path / name).read_text().startswith(wanted)
            assert (tmp_path / name).stat().st_mode & 0o077 == 0
        everything = tmp_path / "all.jsonl"
        everything.write_text(legato("sessions", "export", LEGATO_URL=one.url).stdout)
        for verb in ("imported; 0 were", "imported; 1 were"):
            again = legato("sessions", "import", str(everything), LEGATO_URL=two.url)
            assert again.returncode == 0, again.stderr
            assert verb in again.stdout
        listed = legato("sessions", "list", LEGATO_URL=two.url)
        assert listed.stdout.count("Bees in winter") == 1
        refused = legato("sessions", "export", "ses_nobody", "-o", str(tmp_path / "none.json"), LEGATO_URL=one.url)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
        assert sorted(path.name for path in tmp_path.glob("none*")) == []
        kept = legato("sessions", "export", "-o", str(everything), LEGATO_URL=one.url)
        assert (kept.returncode, kept.stdout, kept.stderr.count("\n")) == (1, "", 1)
        assert "--force" in kept.stderr
        again = legato("sessions", "export", "-o", str(everything), "--force", LEGATO_URL=one.url)
        assert again.returncode == 0, again.stderr
        broken = tmp_path / "export.zip"
        with zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", chats.read_bytes())
        broken.write_bytes(broken.read_bytes()[:-30])
        refused = legato("sessions", "import", str(broken), LEGATO_URL=one.url)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert "the archive is cut off" in refused.stderr


@pytest.mark.promise("S-07", "H-06")
def test_sessions_are_deleted(server: ServerProcess) -> None:
    with httpx2.Client(base_url=server.url, timeout=30, headers={"Authorization": "Bearer canary-token"}) as http:
        ids = [http.post("/v1/sessions", json={}).json()["id"] for _ in range(2)]
        unasked = legato("sessions", "delete", *ids, "--url", server.url, LEGATO_TOKEN="canary-token")
        assert (unasked.returncode, unasked.stdout) == (2, "")
        assert "--yes" in unasked.stderr
        assert [http.get(f"/v1/sessions/{each}").status_code for each in ids] == [200, 200]
        run = legato("sessions", "delete", *ids, "--yes", "--url", server.url, LEGATO_TOKEN="canary-token")
        assert (run.returncode, run.stdout) == (0, "".join(f"{each} is deleted.\n" for each in ids))
        assert [http.get(f"/v1/sessions/{each}").status_code for each in ids] == [404, 404]
    again = legato("sessions", "delete", ids[0], "--yes", "--url", server.url, LEGATO_TOKEN="canary-token")
    assert (again.returncode, again.stdout) == (1, "")
