"""Numbers, times and metadata that would break a list or a sum later are cut or dropped, and told."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from legato.core.model import ContextInfo, Usage
from legato.transfer.decoding import moment
from legato.transfer.records import (
    Document,
    encode,
)
from legato.transfer.times import not_after
from tests.transfer.making import NOW, message, read, session, turn

pytestmark = pytest.mark.promise("S-13")


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), 1e300])
def test_a_time_of_any_length_is_none(value: float) -> None:
    assert moment(value) is None


def test_times_of_the_future_are_put_back() -> None:
    late = NOW + timedelta(days=900)
    latest = NOW + timedelta(days=1)
    whole = Document(
        exported_at=NOW,
        session=msgspec.structs.replace(session(), last_activity=late, archived_at=late),
        messages=(message("m"), msgspec.structs.replace(message("n"), created_at=late)),
        turns=(turn(finished_at=late),),
    )
    (conversation,), _ = read(encode(whole))
    capped = not_after(conversation, latest)
    assert (capped.session.created_at, capped.session.last_activity, capped.session.archived_at) == (
        NOW,
        latest,
        latest,
    )
    assert [each.created_at for each in capped.messages] == [NOW, latest]
    assert [(each.created_at, each.finished_at) for each in capped.turns] == [(NOW, latest)]
    assert [each.what for each in capped.skipped] == ["time"]
    assert not_after(capped, latest) is capped


def test_numbers_beyond_all_bounds_are_cut_and_told() -> None:
    huge, none = Usage(10**30, -5, 1, 7, 1e300), Usage(1, 2, 0, 3, -1.0)
    fine = Usage(1, 2, 0, 3, 0.5)
    whole = Document(
        exported_at=NOW,
        session=session(),
        messages=(message("m", usage=huge), message("n", usage=fine)),
        turns=(
            turn("t", usage=huge, context=ContextInfo(-1, 10**30, 0, 5)),
            turn("u", usage=none),
            turn("v", usage=fine, context=ContextInfo(1, 2, 3, 4)),
        ),
    )
    raw = encode(whole).replace(b'"cost_usd":-1.0', b'"cost_usd":1e999')
    for file in (encode(whole), raw):
        (conversation,), skipped = read(file)
        first, second = conversation.messages
        assert (first.usage, second.usage) == (Usage(10**12, 0, 1, 7), fine)
        assert [each.usage for each in conversation.turns] == [Usage(10**12, 0, 1, 10**12), Usage(1, 2, 0, 3), fine]
        assert conversation.turns[0].context == ContextInfo(0, 10**12, 0, 5)
        assert [(each.place, each.what) for each in skipped] == [
            ("messages[0]", "usage"),
            ("turns[0]", "usage"),
            ("turns[0]", "context"),
            ("turns[1]", "usage"),
        ]


@pytest.mark.parametrize("value", ['{"a":' * 40 + "1" + "}" * 40, "[" * 500 + "]" * 500, "1e999"])
def test_metadata_that_nobody_could_read_again_is_dropped_and_told(value: str) -> None:
    record = msgspec.json.encode(session(metadata={"a": 77})).decode().replace("77", value)
    for file in (
        f'{{"format":"legato","session":{record}}}',
        f'{{"type":"header","exported_at":"2026-01-01T00:00:00Z"}}\n{{"type":"session","session":{record}}}\n',
    ):
        (conversation,), skipped = read(file.encode())
        assert conversation.session.metadata == {}
        assert "metadata" in {each.what for each in skipped}
    deep: Any = 1
    for _ in range(30):
        deep = {"a": [deep]} if isinstance(deep, int) else {"a": deep}
    (conversation,), skipped = read(encode(Document(exported_at=NOW, session=session(metadata=deep))))
    assert (conversation.session.metadata, skipped) == (deep, [])
