"""What a file is, is told by its bytes, whoever calls it whatever (promise S-18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.sniffing import sniff
from legato.core.tokens import estimate_tokens
from tests.support.attachments import KINDS, REFUSED, TEXTS, gif, jpeg, noise, pdf, pieces, png, webp

pytestmark = pytest.mark.promise("S-18")


@pytest.mark.parametrize("media_type", KINDS)
def test_each_kind_is_known_by_its_bytes(media_type: str) -> None:
    found = sniff([KINDS[media_type]])
    assert found is not None
    assert found.media_type == media_type


@pytest.mark.parametrize("name", TEXTS)
def test_what_only_looks_like_something_is_text(name: str) -> None:
    found = sniff([TEXTS[name]])
    assert found is not None
    assert found.media_type == "text/plain"


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_else_is_anything(name: str) -> None:
    assert sniff([REFUSED[name]]) is None


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (png(28, 28), 800),
        (png(1000, 1000), 36 * 36),
        (webp(4000, 4000), 4800),
        (gif(1, 1), 800),
        (jpeg(1000, 1000), 36 * 36),
        (jpeg(1000, 1000, before=200_000), 36 * 36),
        (jpeg(1000, 1000, before=2_000_000), 4800),  # nobody looks that far
        (pdf(3), 9_000),
        (pdf(2, packed=5), 21_000),
        (pdf(0), 3_000),
        (pdf(0) + b"x" * 650_000, 30_000),
    ],
)
def test_what_a_model_takes_for_it(content: bytes, tokens: int) -> None:
    found = sniff(pieces(content))
    assert found is not None
    assert found.tokens == tokens


def test_a_bomb_stays_packed() -> None:
    """Of a stream that unpacks to 64 megabytes four are looked at."""
    import zlib

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(64)) + packer.flush()
    bomb = b"%PDF-1.5\n" + (b"1 0 obj<</Type/ObjStm>>stream\n" + packed) * 3
    found = sniff([bomb])
    assert found is not None
    assert found.media_type == "application/pdf"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("false", [b"/ObjStm", b"/Type", b"stream\n/ObjStm"])
def test_what_looks_like_a_pdf_all_over_takes_no_longer(false: bytes) -> None:
    """A search that tries 500 letters at each of these took a minute."""
    assert sniff([b"%PDF-1.5\n" + false * ((48 << 20) // len(false))]) is not None


@given(st.integers(-40, 40))
def test_a_page_is_counted_once_wherever_it_stands(shift: int) -> None:
    page = b"/Type /Page "
    content = b"%PDF-1.5\n" + b"x" * (256 * 1024 - 9 + shift) + page * 3 + b"/Type /Pages"
    assert sniff([content]) == ("application/pdf", 3 * 3_000)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), st.integers(1, 7))
def test_a_text_is_one_however_it_is_cut_and_never_costs_less_than_it_does(text: str, size: int) -> None:
    content = text.encode()
    found = sniff([content[at : at + size] for at in range(0, len(content), size)])
    whole = sniff([content])
    assert found is not None
    assert whole is not None
    assert found.media_type == whole.media_type
    if found.media_type == "text/plain":
        assert whole.tokens >= estimate_tokens(text.removeprefix("\ufeff"))


def test_only_the_beginning_of_an_image_is_looked_at() -> None:
    content = noise(3 << 20)
    seen = 0

    def passing() -> object:
        nonlocal seen
        for piece in pieces(content):
            seen += len(piece)
            yield piece

    assert sniff(passing()) == ("image/png", 800)  # type: ignore[arg-type]
    assert seen <= 1 << 21
