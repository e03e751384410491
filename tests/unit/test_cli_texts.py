"""The pure parts of the command line: what stands on the screen, and how an end is told."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.cli.ending import exit_status, mark
from legato.cli.shown import Show, Shown
from legato.cli.terminal import Terminal, printable
from legato.client import Notice, Piece
from legato.core.model import ErrorInfo
from tests.support import story

_texts = st.text(st.sampled_from("ab"), max_size=6)


@given(_texts, st.lists(st.tuples(_texts, st.integers(0, 12)), max_size=20))
def test_the_screen_ends_with_the_answer(first: str, changes: list[tuple[str, int]]) -> None:
    """Whatever an answer goes through, what was last begun on the screen ends as exactly its text."""
    shown, text, screen = Shown(first), first, first
    for added, at in changes:
        at = min(at, len(text))
        text = text[:at] + added
        screen = _written(screen, shown.take(Piece(added, at)))
    assert _written(screen, shown.settle()) == text


def _written(screen: str, show: Show) -> str:
    return show.text if show.anew else screen + show.text


def test_an_attempt_that_says_the_same_again_writes_nothing_twice() -> None:
    shown = Shown()
    pieces = [Piece("Bonjour", 0), Piece("", 0), Piece("Bon", 0), Piece("jour", 3), Piece(" !", 7)]
    assert [shown.take(piece) for piece in pieces] == [Show("Bonjour"), Show(""), Show(""), Show(""), Show(" !")]
    assert shown.settle() == Show("")


def test_an_attempt_that_says_something_else_is_written_anew() -> None:
    shown = Shown()
    pieces = [Piece("Bonjour", 0), Piece("", 0), Piece("Bon", 0), Piece("soir", 3)]
    assert [shown.take(piece) for piece in pieces][2:] == [Show(""), Show("Bonsoir", anew=True)]


def test_an_answer_that_ends_shorter_is_written_anew() -> None:
    shown = Shown()
    assert [shown.take(piece) for piece in [Piece("Bonjour", 0), Piece("", 3)]] == [Show("Bonjour"), Show("")]
    assert shown.settle() == Show("Bon", anew=True)


def test_text_can_not_command_a_terminal() -> None:
    assert printable("a\x1b]52;c;aGk=\x07b\x9b2J\r\n\tc\x7f\x00é👩‍👧") == "a�]52;c;aGk=�b�2J\n\tc��é👩‍👧"


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_the_answer_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out, err)
    terminal.say("a\x1b[2Jb\r\n")
    terminal.aside("· thinking…")
    terminal.say("c")
    terminal.note("[incomplete]")
    terminal.end()
    terminal.end()
    assert out.getvalue() == "a\x1b[2Jb\r\nc\n"
    assert err.getvalue() == "[incomplete]\n"


def test_a_screen_has_notes_dimly_on_lines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = _Screen()
    terminal = Terminal(screen, screen)
    terminal.say("Bon\x1b")
    terminal.aside("· executing\x1b")
    terminal.say("jour")
    terminal.end()
    assert screen.getvalue() == "Bon�\n\x1b[2m· executing�\x1b[0m\njour\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = _Screen()
    Terminal(screen, screen).note("· executing")
    assert screen.getvalue() == "· executing\n"


def test_a_lost_connection_is_told_once() -> None:
    err = io.StringIO()
    terminal = Terminal(io.StringIO(), err)
    terminal.notice(Notice("lost", "before it was ever there"))
    terminal.is_connected = True
    for what in ("back", "lost", "lost", "lost", "back", "back"):
        terminal.notice(Notice(what, "cut" if what == "lost" else ""))
    assert err.getvalue() == "· connection lost, reconnecting… (cut)\n· connected again\n"


@pytest.mark.parametrize(
    ("status", "reason", "told", "code"),
    [
        ("completed", "stop", None, 0),
        ("completed", "tool_calls", None, 0),
        ("completed", "length", "[completed: cut off at the model's limit] — :continue goes on", 0),
        ("cancelled", "cancelled", "[cancelled] — :continue goes on", 130),
        ("cancelled", "interrupted", "[cancelled: another message came first]", 130),
        ("incomplete", "worker_lost", "[incomplete: the server that ran it died] — :continue goes on", 1),
        ("incomplete", "a_new_reason", "[incomplete: a_new_reason] — :continue goes on", 1),
        ("failed", "error", "[failed: The model's provider failed.] — :retry tries again", 1),
    ],
)
def test_ends(status: str, reason: str, told: str | None, code: int) -> None:
    error = ErrorInfo("provider_error", "The model's provider failed.") if status == "failed" else None
    turn = story.turn(status=status, reason=reason, error=error)
    assert mark(turn, can_go_on=True) == told
    assert mark(turn, can_go_on=False) == (told.partition(" — ")[0] if told else None)
    assert exit_status(turn, interrupted=True) == code


def test_the_server_explains_an_end_in_the_readers_language() -> None:
    turn = story.turn(status="failed", reason="agent_unavailable", text="Chatten är avstängd.")
    assert mark(turn, can_go_on=False) == "[failed: Chatten är avstängd.]"


def test_a_turn_that_others_cancelled_is_no_ctrl_c() -> None:
    assert exit_status(story.turn(status="cancelled", reason="cancelled"), interrupted=False) == 1
