"""Files that commands write: whole or not there, and in the place of nothing unasked."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from legato.cli.files import told_of, written
from legato.cli.output import when

pytestmark = [pytest.mark.promise("S-13", "H-06")]


def write(path: Path, content: bytes, *, replace: bool = False) -> None:
    with written(path, replace=replace) as file:
        file.write(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nobodys_file_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    for name in ("a.json", "a.json.part"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(typer.Exit) as ended:
        write(path, b"new")
    assert ended.value.exit_code == 1
    assert "--force" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    write(path, b"new", replace=True)
    assert path.read_bytes() == b"new"
    assert (tmp_path / "a.json.part").read_bytes() == b"mine"
    assert names(tmp_path) == ["a.json", "a.json.part"]


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"mine")
    for target in (path, tmp_path / "b.json"):
        with pytest.raises(TypeError):
            write(target, "half", replace=True)  # type: ignore[arg-type]
    assert names(tmp_path) == ["a.json"]
    assert path.read_bytes() == b"mine"


def test_who_is_faster_keeps_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with ExitStack() as writing:
        writing.enter_context(written(path, replace=False)).write(b"new")
        path.write_bytes(b"theirs")
        with pytest.raises(typer.Exit):
            writing.close()
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.json"]


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_a_device_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("where", ["missing/a.json", "", "file/a.json", "x" * 300])
def test_what_can_not_be_written_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(typer.Exit) as ended:
        write(tmp_path / where, b"new", replace=True)
    assert ended.value.exit_code == 1
    told = capsys.readouterr().err
    assert told.startswith("legato: ")
    assert told.count("\n") == 1
    assert names(tmp_path) == ["file"]


def test_a_file_that_can_not_be_read_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), told_of(Path("a.json")):
        raise OSError(5, "Input/output error")
    assert capsys.readouterr().err == "legato: a.json: Input/output error\n"
    with pytest.raises(BrokenPipeError), told_of(None):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_every_time_can_be_shown() -> None:
    for year in (1, 9999):
        assert when(datetime(year, 1, 1, tzinfo=UTC))
        assert when(datetime(year, 12, 31, 23, 59, tzinfo=UTC))
