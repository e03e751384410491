"""Search: what was said is found by its words, by nobody else, page by page; what was removed is not."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from legato.core.errors import BadCursor
from legato.core.found import Hit
from legato.core.ids import new_id
from legato.core.model import ErrorInfo, Message, ReasoningPart, TextPart, ToolResultPart
from legato.core.search import parse
from legato.engine.searching import find
from legato.store import finding, messages, schema, search, sessions
from legato.store.finding import Filters
from legato.store.port import Store
from legato.store.rows import to_time
from tests.support.conversation import Conversation, new_session
from tests.support.search_index import check_index

pytestmark = pytest.mark.promise("S-14")


async def found(store: Store, text: str, owner: str = "ann", **filters: Any) -> list[Hit]:
    return list((await find(store, owner, text, Filters(**filters), limit=200)).data)


async def snippets(store: Store, text: str, owner: str = "ann", **filters: Any) -> list[str]:
    return [hit.snippet for hit in await found(store, text, owner, **filters)]


def said(session_id: str, number: int, text: str, **fields: Any) -> Message:
    """A message of a second of its own."""
    usual: dict[str, Any] = {"role": "user", "status": "completed", "turn_id": new_id("trn")}
    at = to_time(1_700_000_000_000_000 + number * 1_000_000)
    return Message(id=new_id("msg"), session_id=session_id, created_at=at, parts=(TextPart(text),), **(usual | fields))


def put_all(conn: Connection, told: list[Message]) -> None:
    for message in told:
        messages.put(conn, message)


async def telling(store: Store, *texts: str, owner: str = "ann", **fields: Any) -> str:
    """A session in which these were said; its id."""
    session_id = (await new_session(store, owner, **fields)).session.id
    await store.write(put_all, [said(session_id, number, text) for number, text in enumerate(texts)])
    return session_id


class Searching:
    async def test_what_was_asked_and_answered_is_found(self, store: Store, conversation: Conversation) -> None:
        turn = await conversation.answer("A harbour is where ships rest.", "What is a harbour?")

        answer, question = sorted(await found(store, "harbour"), key=lambda hit: hit.role or "")
        assert (question.message_id, question.role) == (turn.message_id, "user")
        assert (answer.message_id, answer.role) == (turn.answer_id, "assistant")
        assert answer.snippet == "A <mark>harbour</mark> is where ships rest."
        assert answer.session == question.session
        assert (answer.session.id, answer.session.agent_id, answer.session.agent_name) == (
            conversation.id,
            "demo",
            "Demo",
        )

    async def test_a_title_is_found_until_there_is_another(self, store: Store) -> None:
        conversation = await Conversation.begin(store, title="Trip to Malmö")
        (hit,) = await found(store, "malmo")
        assert (hit.message_id, hit.role, hit.snippet) == (None, None, "Trip to <mark>Malmö</mark>")
        assert hit.session.title == "Trip to Malmö"

        await conversation.change(title="Trip to Lund")
        assert await snippets(store, "malmo") == []
        assert await snippets(store, "lund") == ["Trip to <mark>Lund</mark>"]
        await conversation.change(pinned=True)
        assert await snippets(store, "lund") == ["Trip to <mark>Lund</mark>"]
        await conversation.change(title=None)
        assert await snippets(store, "lund") == []

    async def test_titles_come_before_messages(self, store: Store) -> None:
        await telling(store, "harbour harbour harbour", title="harbour")
        assert [hit.role for hit in await found(store, "harbour")] == [None, "user"]

    @pytest.mark.parametrize(
        ("text", "question", "shown"),
        [
            ("Wir fahren über Zürich", "uber zurich", "Wir fahren <mark>über</mark> <mark>Zürich</mark>"),
            (
                "En ärlig åländsk ö",
                "A\u0308RLIG alandsk O",
                "En <mark>ärlig</mark> <mark>åländsk</mark> <mark>ö</mark>",
            ),
            ("Cafe\u0301 au lait", "café", "<mark>Café</mark> au lait"),
            ("Добрый день, Москва", "москва", "Добрый день, <mark>Москва</mark>"),
            ("私は東京都に住んでいます", "東京", "私は<mark>東京</mark>都に住んでいます"),
            ("我们在北京大学学习", "北京大学", "我们在<mark>北京大学</mark>学习"),
            ("오늘 서울에서 만나요", "서울", "오늘 <mark>서울</mark>에서 만나요"),
            ("สวัสดีชาวโลก", "ชาวโลก", "สวัสดี<mark>ชาวโลก</mark>"),
            ("The ﬁne print", "fine", "The <mark>ﬁne</mark> print"),
            ("x_y-z 2024-05", "05", "x_y-z 2024-<mark>05</mark>"),
        ],
    )
    async def test_letters_of_the_world(self, store: Store, text: str, question: str, shown: str) -> None:
        await telling(store, text, "something else")
        assert await snippets(store, question) == [shown]

    async def test_all_words_are_wanted_and_the_last_may_go_on(self, store: Store) -> None:
        await telling(store, "the quick brown fox", "the quick dog", "a brown quicksand")
        assert await snippets(store, "quick brown") == ["the <mark>quick</mark> <mark>brown</mark> fox"]
        assert len(await found(store, "brown qui")) == 2
        assert len(await found(store, "qui")) == 3
        assert await found(store, "quick cat") == []

    async def test_a_phrase_stands_together(self, store: Store) -> None:
        await telling(store, "red green blue", "green red blue", "red, green!")
        assert len(await found(store, "red green")) == 3
        both = [hit.snippet for hit in await found(store, '"red green"')]
        assert both == ["<mark>red, green</mark>!", "<mark>red green</mark> blue"]
        assert len(await found(store, "red-gre")) == 2
        assert await found(store, '"red gre"') == []

    async def test_where_no_word_begins_so_it_is_looked_for_within_words(self, store: Store) -> None:
        await telling(store, "Bostadsrättsförening", "ratten schläft")
        assert await snippets(store, "rattsf") == ["Bostads<mark>rättsf</mark>örening"]
        assert await snippets(store, "ratt") == ["<mark>ratten</mark> schläft"]
        assert await snippets(store, "attsf tads") == ["Bos<mark>tads</mark>r<mark>ättsf</mark>örening"]
        assert await found(store, "ratts", "bob") == []

    async def test_only_the_newest_are_looked_into(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finding, "LOOKED_THROUGH", 2)
        await telling(store, "oldharbour", "newharbour", "nothing")
        assert await snippets(store, "arbour") == ["newh<mark>arbour</mark>"]

    async def test_hostile_text_is_shown_harmlessly(self, store: Store) -> None:
        await telling(store, "<script>alert('harbour')</script> </mark><mark> & \u202e")
        assert await snippets(store, "harbour") == [
            "&lt;script&gt;alert(&#x27;<mark>harbour</mark>&#x27;)&lt;/script&gt; &lt;/mark&gt;&lt;mark&gt; &amp; \u202e"
        ]

    async def test_any_string_is_a_question(self, store: Store) -> None:
        await telling(store, "the quick brown fox", "words OR near NOT a* ^b col:c")
        hostile = [
            "",
            " ",
            '"',
            '""',
            "AND",
            "OR NOT",
            "a*",
            "^b",
            "col:c",
            "NEAR(a b, 3)",
            "'",
            "\\",
            "%",
            "_",
            "\x00",
        ]
        hostile += [
            "\ud800",
            "(",
            ")",
            "x" * 10_000,
            '"' * 10_000,
            "a " * 5_000,
            "a:*",
            "'a':*",
            "a & b | !c",
            "{b}: -c",
        ]
        for text in hostile:
            await found(store, text)
            await store.read(sessions.page, "ann", text=text)
        assert len(await found(store, "NOT a* ^b")) == 1

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.text(max_size=60))
        def asked(text: str) -> None:
            questions.append(text)

        questions: list[str] = []
        asked()
        for text in questions:
            await found(store, text)

    async def test_whatever_was_said_is_found_by_each_of_its_words(self, store: Store) -> None:
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.text(max_size=40))
        def told(text: str) -> None:
            texts.append(text)

        texts: list[str] = []
        told()
        session_id = await telling(store, *texts)
        for text in texts:
            for term in parse(f'"{text.replace(chr(34), " ")}"'):
                assert len(await found(store, f'"{term}"', session_id=session_id)) >= 1, (text, term)

    async def test_nobody_finds_what_is_somebody_elses(self, store: Store) -> None:
        hers, his = await telling(store, "harbour"), await telling(store, "harbour", owner="bob", title="harbour")
        assert [hit.session.id for hit in await found(store, "harbour")] == [hers]
        assert {hit.session.id for hit in await found(store, "harbour", "bob")} == {his}
        assert await found(store, "harbour", session_id=his) == []
        assert await found(store, "harbour", "") == []
        first = await find(store, "bob", "harbour", limit=1)
        assert first.next is not None
        assert (await find(store, "eve", "harbour", limit=1, cursor=first.next)).data == ()
        again = await find(store, "ann", "harbour", limit=9, cursor=first.next)
        assert {hit.session.id for hit in again.data} <= {hers}

    async def test_who_shares_a_key_by_chance_finds_nothing_by_it(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (search, finding):
            monkeypatch.setattr(module, "owner_key", lambda owner: "00000000")
        hers = await telling(store, "harbour")
        await telling(store, "harbour", owner="bob")
        assert [hit.session.id for hit in await found(store, "harbour")] == [hers]
        assert [hit.session.id for hit in await found(store, "arbour")] == [hers]

    async def test_a_session_that_was_given_up_is_not_found(self, store: Store) -> None:
        session_id = await telling(store, "harbour", title="harbour")
        await store.write(_disown, session_id)
        assert await found(store, "harbour") == []
        assert (await store.read(sessions.page, "ann", text="harbour")).data == ()

    async def test_filters(self, store: Store) -> None:
        ids = [await telling(store, "harbour", agent_id=agent) for agent in ("demo", "demo", "other", "demo")]
        plain, closed, other, pinned = ids
        await store.write(sessions.change, closed, "ann", {"closed": True})
        await store.write(sessions.change, other, "ann", {"archived": True})
        await store.write(sessions.change, pinned, "ann", {"pinned": True, "title": "harbour"})

        async def where(**filters: Any) -> set[str]:
            return {hit.session.id for hit in await found(store, "harbour", **filters)}

        assert await where() == set(ids)
        assert await where(status="active") == {plain, pinned}
        assert await where(status="closed") == {closed}
        assert await where(status="archived") == {other}
        assert await where(status="pinned") == {pinned}
        assert await where(agent_id="other") == {other}
        assert await where(agent_id="other", status="active") == set()
        assert await where(session_id=plain) == {plain}
        assert [hit.role for hit in await found(store, "harbour", session_id=pinned)] == [None, "user"]
        assert [hit.role for hit in await found(store, "harbour", session_id=pinned, role="user")] == ["user"]
        assert await found(store, "harbour", role="assistant") == []

    async def test_times(self, store: Store) -> None:
        await telling(store, *(f"harbour {number}" for number in range(4)))
        base = 1_700_000_000_000_000
        assert await snippets(store, "harbour", after=base + 1_000_000, before=base + 3_000_000) == [
            "<mark>harbour</mark> 2",
            "<mark>harbour</mark> 1",
        ]

    async def test_pages_are_complete_and_stable(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finding, "RANKED", 10)
        texts = [f"harbour {'harbour ' * (number % 3)} {'x ' * (number % 5) * 40}{number}" for number in range(37)]
        session_id = await telling(store, *texts)
        whole = await found(store, "harbour")
        paged: list[Hit] = []
        page = await find(store, "ann", "harbour", limit=4)
        while True:
            paged += page.data
            if page.next is None:
                break
            assert len(page.data) == 4
            await store.write(put_all, [said(session_id, 100, "harbour harbour harbour harbour")])  # what came later
            page = await find(store, "ann", "harbour", limit=4, cursor=page.next)

        assert paged == whole
        assert len({hit.message_id for hit in whole}) == 37
        ranked, rest = whole[:10], whole[10:]
        assert [(-hit.score, -hit.created_at.timestamp()) for hit in ranked] == sorted(
            (-hit.score, -hit.created_at.timestamp()) for hit in ranked
        )
        assert len({hit.score for hit in ranked}) > 1
        assert [hit.created_at for hit in rest] == sorted((hit.created_at for hit in rest), reverse=True)
        assert all(hit.created_at < min(other.created_at for other in ranked) for hit in rest)

    async def test_pages_of_what_stands_within_words(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finding, "RANKED", 3)
        session_id = await telling(store, *(f"x{number}harbour" for number in range(8)))
        page = await find(store, "ann", "arbour", limit=2)
        paged = list(page.data)
        while page.next is not None:
            await store.write(put_all, [said(session_id, 100, "arbour")])  # by now a word begins so
            page = await find(store, "ann", "arbour", limit=2, cursor=page.next)
            paged += page.data
        assert [hit.snippet for hit in paged] == [f"x{number}h<mark>arbour</mark>" for number in reversed(range(8))]

    @pytest.mark.parametrize("cursor", ["", "x", "eA==", "é", "MC4wLjEuMS4xLjEuMS4x", "MC4yLjEuMS4xLjEuMQ=="])
    async def test_a_cursor_from_elsewhere_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(BadCursor):
            await find(store, "ann", "harbour", cursor=cursor)

    async def test_what_says_more_about_it_comes_first(self, store: Store) -> None:
        await telling(store, "harbour " * 5, "harbour in a long story " + "and so on " * 200, "a harbour and a pier")
        first, second, third = await snippets(store, "harbour")
        assert first.startswith("<mark>harbour</mark> <mark>harbour</mark>")
        assert second == "a <mark>harbour</mark> and a pier"
        assert third.endswith("…")

    async def test_a_long_text_is_shown_around_the_first_mention(self, store: Store) -> None:
        await telling(store, "before " * 100 + "harbour\n\tand harbour " + "after " * 100)
        (shown,) = await snippets(store, "harbour")
        assert shown.startswith("…before ")
        assert shown.endswith(" after…")
        assert "<mark>harbour</mark> and <mark>harbour</mark>" in shown
        assert len(shown) < 300

    async def test_of_a_long_text_the_beginning_counts(self, store: Store) -> None:
        """As a whole it would take seconds to count in hundreds of them."""
        await telling(store, "harbour", "pier " * 3_000 + "harbour " * 5_000)
        short, long = await found(store, "harbour")
        assert short.snippet == "<mark>harbour</mark>"
        assert long.score == 0
        assert "pier <mark>harbour</mark> " in long.snippet
        await telling(store, "x" * 90_000 + "pier", "x" * 100_000 + "piers")
        assert len(await found(store, "ier")) == 2

    async def test_thoughts_tools_and_what_runs_are_not_found(self, store: Store, conversation: Conversation) -> None:
        turn = (await conversation.start("question")).turn
        await conversation.say("harbour")
        assert await found(store, "harbour") == []
        await conversation.finish(status="failed", reason="error", error=ErrorInfo("agent_error", "It failed."))
        assert [hit.message_id for hit in await found(store, "harbour")] == [turn.answer_id]
        await conversation.again("continue", turn, message_type="continue")
        assert await found(store, "go on") == []

        parts = (ReasoningPart("pier"), ToolResultPart("c", "pier"))
        hidden = msgspec.structs.replace(said(conversation.id, 0, "", role="assistant"), parts=parts)
        await store.write(put_all, [hidden])
        assert await found(store, "pier") == []
        await store.write(messages.remove, [hidden.id])

    async def test_what_waits_is_found_and_what_was_taken_back_is_not(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.start("first")
        waiting = (await conversation.send("harbour")).turn
        assert len(await found(store, "harbour")) == 1
        await conversation.withdraw(waiting.id)
        assert await found(store, "harbour") == []
        await conversation.say("harbour")
        await conversation.send("second", mode="rollback")
        assert await found(store, "first") == []
        assert await found(store, "harbour") == []

    async def test_what_was_cleared_is_not_found_and_the_title_is(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.change(title="harbour")
        await conversation.answer("harbour", "harbour")
        await conversation.clear()
        assert [hit.role for hit in await found(store, "harbour")] == [None]
        assert [session.id for session in (await store.read(sessions.page, "ann", text="harbour")).data] == [
            conversation.id
        ]

    async def test_damaged_messages_are_not_shown_and_hide_no_others(self, store: Store) -> None:
        await telling(store, "harbour one", "harbour two")
        await store.write(_damage, (await found(store, "one"))[0].message_id)
        assert await snippets(store, "harbour") == ["<mark>harbour</mark> two"]

    @pytest.mark.promise("S-03")
    async def test_sessions_by_text_and_context(self, store: Store) -> None:
        one = await telling(store, "nothing here", title="Harbour", context="doc-1")
        two = await telling(store, "the harbour", "harbour", context="doc-1", agent_id="other")
        three = await telling(store, "a pier", context="doc-2")
        await telling(store, "harbour", owner="bob", context="doc-1")

        async def listed(**filters: Any) -> list[str]:
            return [session.id for session in (await store.read(sessions.page, "ann", **filters)).data]

        assert await listed(text="harbour") == [two, one]
        assert await listed(text="arbour") == [two, one]
        assert await listed(text="harbour", agent_id="other") == [two]
        assert await listed(text="harbour", status="closed") == []
        assert await listed(text="?") == []
        assert await listed(context="doc-1") == [two, one]
        assert await listed(context="doc-2", text="pier") == [three]
        assert await listed(context="doc-3") == []
        first = await store.read(sessions.page, "ann", text="harbour", limit=1)
        rest = await store.read(sessions.page, "ann", text="harbour", limit=1, cursor=first.next)
        assert [session.id for session in first.data + rest.data] == [two, one]
        assert rest.next is None

    @pytest.mark.promise("S-07")
    async def test_what_is_forgotten_leaves_no_term(self, store: Store) -> None:
        texts = [" ".join(f"{'abcdefghijkl'[at % 12]}{number}canary{at}" for at in range(60)) for number in range(40)]
        kept, gone = await telling(store, *texts[:20]), await telling(store, *texts[20:], title="x7canary")
        ids = [hit.message_id for hit in await found(store, "a2", session_id=kept)]
        await store.write(messages.remove, [id for id in ids[:1] if id])
        while await store.write(search.forget_session, gone, 3):
            pass
        while not await store.write(search.clean):
            pass
        await check_index(store, kept)
        await store.write(_check_gone, gone)
        assert len(await found(store, "b3", session_id=kept)) == 1

    async def test_a_long_message_is_taken_out_in_slices(self, store: Store) -> None:
        session_id = await telling(store, " ".join(f"word{number} again" for number in range(1_000)))
        slices = 0
        while await store.write(search.forget_session, session_id, 10):
            slices += 1
        assert slices == (1 if store.shared else 5)
        await store.write(_check_gone, session_id)

    async def test_a_message_has_at_most_so_many_words(self, store: Store) -> None:
        await telling(store, "same " * 300 + "word " * 15_699 + "last beyond", "a" * 3_000)
        assert len(await found(store, '"word last"')) == 1  # PostgreSQL keeps 255 places of a word
        assert len(await found(store, "last")) == 1
        assert await found(store, "beyond") == []
        assert len(await found(store, "a" * 3_000)) == 1

    @pytest.mark.promise("R-01", "X-09")
    async def test_a_message_may_have_as_many_long_words_as_it_likes(self, store: Store) -> None:
        """PostgreSQL's index takes no more than 1 MiB of a message."""
        conversation = await Conversation.begin(store)
        text = " ".join(f"{number:064}" for number in range(16_000))
        first, last, beyond = (f"{number:064}" for number in (0, 12_306, 12_307))
        await conversation.answer(text, text)
        running = await conversation.start(text)
        await conversation.say(text)
        assert (await conversation.cancel(running.turn.id)).turn.status == "cancelled"

        assert [hit.role for hit in await found(store, first)] == ["assistant", "user"] * 2
        assert len(await found(store, last)) == 4
        assert await found(store, beyond) == []

    async def test_of_other_alphabets_as_many_bytes(self, store: Store) -> None:
        """Each word is as long as one can be, and each character."""
        words = [chr(0x16800 + number // 500) * 60 + f"{number:04}" for number in range(5_000)]
        await telling(store, " ".join(words))
        taken = 800_000 // (60 * 4 + 5)
        assert len(await found(store, words[taken - 1])) == 1
        assert await found(store, words[taken]) == []

    async def test_an_answer_whose_words_are_lost_is_no_longer_found(self, store: Store) -> None:
        session_id = (await new_session(store)).session.id
        answer = said(session_id, 0, "harbour", role="assistant")
        await store.write(put_all, [answer])
        lost = ErrorInfo("corrupted", "It is damaged.")
        await store.write(messages.close_unread, answer.id, "failed", lost)
        assert await found(store, "harbour") == []
        await check_index(store, session_id)
        for text in ("a pier", "a ship", "a ship"):
            await store.write(messages.replace, msgspec.structs.replace(answer, parts=(TextPart(text),)))
            assert await snippets(store, text) == ["<mark>a</mark> " + f"<mark>{text[2:]}</mark>"]
            await check_index(store, session_id)
        assert await found(store, "pier") == []


def _disown(conn: Connection, session_id: str) -> None:
    conn.execute(update(schema.sessions).where(schema.sessions.c.id == session_id).values(owner=""))


def _damage(conn: Connection, message_id: str | None) -> None:
    conn.execute(update(schema.messages).where(schema.messages.c.id == message_id).values(crc=1))


def _check_gone(conn: Connection, session_id: str) -> None:
    """No entry of it is left, and no beginning of a word that only it had leads through the index."""
    entries = schema.search_entries
    assert conn.execute(select(entries.c.id).where(entries.c.session_id == session_id)).all() == []
    if conn.dialect.name == "sqlite":
        here = " ".join(conn.execute(select(entries.c.words)).scalars())
        terms = conn.exec_driver_sql("SELECT term FROM search_index_idx").scalars()
        words = [bytes(term)[9:].decode() for term in terms if len(term) > 9]
        assert [word for word in words if f" {word}" not in f" {here}"] == []
