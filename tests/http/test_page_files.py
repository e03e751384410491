"""The built page's files: who may keep them, and under which policy they are shown."""

import re

import pytest

from tests.http.speaking import Api

pytestmark = pytest.mark.anyio


@pytest.mark.promise("X-02")
async def test_the_page_is_asked_for_anew_and_its_files_are_kept_for_good(api: Api) -> None:
    page = await api.http.get("/")
    policy = page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    names = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.text)
    assert {name.rpartition(".")[2] for name in names} == {"js", "css", "svg"}
    for name in names:
        file = await api.http.get(f"/{name}", headers={"Accept-Encoding": "gzip"})
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["content-encoding"] == "gzip"
        assert file.headers["x-content-type-options"] == "nosniff"
        assert (await api.http.get(f"/{name}", headers={"Accept-Encoding": "identity"})).content == file.content


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Findex.html", "..%2F..%2Fpage.py", "%2Fetc%2Fpasswd", "a%5Cb.js", ""]
)
async def test_there_are_no_other_files(api: Api, name: str) -> None:
    assert (await api.http.get(f"/assets/{name}")).status_code == 404
