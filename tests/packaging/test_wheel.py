"""What is shipped holds the built page; the wheel that is built from the sdist, without the page's sources, too."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _built(source: Path, target: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [file] = target.iterdir()
    return file


def _page(names: list[str]) -> list[str]:
    return sorted(name[name.index("legato/web/dist/") :] for name in names if "legato/web/dist/" in name)


@pytest.mark.promise("P-01")
def test_wheel_and_sdist_bring_the_page(tmp_path: Path) -> None:
    sdist = _built(_ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    assert not (unpacked / "web" / "package.json").exists(), "npm would have something to do"
    here = _page(zipfile.ZipFile(_built(_ROOT, tmp_path / "here", "wheel")).namelist())
    there = _page(zipfile.ZipFile(_built(unpacked, tmp_path / "there", "wheel")).namelist())
    assert here == there
    assert "legato/web/dist/index.html" in here
    assert any(name.endswith(".js.gz") for name in here)
