"""Tools: model → calls → recorded steps → model (promises A-01, R-08)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import msgspec
import pytest

from legato import Turn, tool
from legato.agents.builtin import assistant
from legato.agents.registry import AgentSpec
from legato.agents.tools import ToolLike, as_tool
from legato.core.errors import Misuse, ToolFailed
from legato.core.events import Event, Token, ToolCall, ToolResult
from legato.core.model import TextPart, ToolCallPart, ToolResultPart
from legato.core.prompt import PromptMessage
from legato.engine import searching
from tests.engine.scripted import Act, CutOff, ScriptedModel, calls
from tests.engine.talking import Talk, only
from tests.engine.wiring import opened, working

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-01")]


class Place(msgspec.Struct):
    """Where."""

    city: str
    country: str | None = None


def weather(place: Place, unit: Literal["C", "F"] = "C") -> dict[str, object]:
    """What the weather is like.

    It is made up.

    Args:
        place: where to look
        unit: of the temperature
    """
    return {"city": place.city, "degrees": 7, "unit": unit}


async def talked(
    sqlite: str, model: ScriptedModel, *tools: ToolLike, **fields: Any
) -> tuple[list[tuple[int, Event]], Any]:
    """One question to an agent with these tools: the journal, then the turn and the state when it has ended."""
    spec = AgentSpec(id="demo", name="Demo", run=assistant, model_id="scripted:m", tools=tools, **fields)
    async with opened(sqlite) as store, working(store, spec, provider=model) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.ask()
        told = await talk.told()
        state = await talk.state()
    return told, (turn, state)


def test_a_function_is_told_as_a_model_wants_it() -> None:
    made = as_tool(weather)

    assert (made.name, made.description) == ("weather", "What the weather is like.\n\nIt is made up.")
    assert made.parameters["required"] == ["place"]
    assert made.parameters["additionalProperties"] is False
    assert made.parameters["properties"]["unit"] == {
        "enum": ["C", "F"],
        "default": "C",
        "description": "of the temperature",
    }
    assert made.parameters["$defs"]["Place"]["properties"]["city"] == {"type": "string"}


def test_the_turn_is_given_and_not_told() -> None:
    def whose(turn: Turn, id: Annotated[int, msgspec.Meta(ge=1, description="its number")]) -> str:
        return turn.id

    made = as_tool(whose)

    assert made.turn_parameter == "turn"
    assert made.parameters["properties"] == {"id": {"type": "integer", "minimum": 1, "description": "its number"}}


@pytest.mark.parametrize(
    "bad",
    [lambda x: x, lambda *args: args, lambda **more: more],
)
def test_what_has_no_types_is_no_tool(bad: Callable[..., Any]) -> None:
    bad.__name__ = "bad"

    with pytest.raises(Misuse, match="'bad' needs a name and a type"):
        as_tool(bad)


def test_a_name_that_models_refuse_is_refused_at_once() -> None:
    with pytest.raises(Misuse, match="can't have this name"):
        tool(name="no spaces")(weather)


async def test_an_agent_has_each_name_once(sqlite: str) -> None:
    with pytest.raises(Misuse, match="two tools named 'weather'"):
        await talked(sqlite, ScriptedModel(), weather, tool(weather))


@pytest.mark.promise("R-08", "E-04")
async def test_the_model_calls_is_answered_and_goes_on(sqlite: str) -> None:
    model = ScriptedModel(
        ["Let me ", "see. ", calls("weather", '{"place":{"city":'), calls("weather", '"Köln"}}')],
        ["It is ", "7 °C."],
    )

    told, (turn, state) = await talked(sqlite, model, weather)

    output = '{"city":"Köln","degrees":7,"unit":"C"}'
    assert state.messages[-1].parts == (
        TextPart("Let me see. "),
        ToolCallPart("call_1", "weather", '{"place":{"city":"Köln"}}'),
        ToolResultPart("call_1", output),
        TextPart("It is 7 °C."),
    )
    assert (turn.status, turn.reason, turn.usage.total_tokens) == ("completed", "stop", 30)
    assert [spec.name for spec in model.requests[0].tools] == ["weather"]
    assert model.requests[1].messages[-2:] == (
        PromptMessage("assistant", "Let me see. ", model.requests[1].messages[-2].calls),
        PromptMessage("tool", output, (), "call_1"),
    )
    assert [event.arguments for event in only(ToolCall, told)] == [""]
    assert "".join(e.text for e in only(Token, told) if e.kind == "tool_arguments") == '{"place":{"city":"Köln"}}'
    assert [event.output for event in only(ToolResult, told)] == [output]


@pytest.mark.promise("C-05")
async def test_calls_to_which_a_server_gives_the_same_id_have_their_own_results(sqlite: str) -> None:
    async def double(n: int) -> int:
        return 2 * n

    model = ScriptedModel(
        [calls("double", '{"n":1}', "0"), calls("double", '{"n":2}', "0", 1)],
        [calls("double", '{"n":3}', "0")],
        ["Done."],
    )

    _, (turn, state) = await talked(sqlite, model, double)

    assert turn.status == "completed"
    parts = state.messages[-1].parts
    made = [part.call_id for part in parts if isinstance(part, ToolCallPart)]
    assert made[0] == "0"
    assert len(set(made)) == 3
    results = [(part.call_id, part.output) for part in parts if isinstance(part, ToolResultPart)]
    assert results == list(zip(made, ["2", "4", "6"], strict=True))
    sent = [(message.call_id, message.content) for message in model.requests[-1].messages if message.role == "tool"]
    assert sent == results


async def test_calls_of_one_answer_are_run_in_order_and_answered_together(sqlite: str) -> None:
    ran: list[int] = []

    async def note(n: int) -> None:
        ran.append(n)

    model = ScriptedModel(
        [calls("note", '{"n":1}', "a"), calls("note", '{"n":2}', "b", 1)], [calls("note", '{"n":3}', "c")], ["Done."]
    )

    _, (_, state) = await talked(sqlite, model, note)

    assert ran == [1, 2, 3]
    assert [type(part).__name__ for part in state.messages[-1].parts] == [
        *("ToolCallPart", "ToolCallPart", "ToolResultPart", "ToolResultPart"),
        *("ToolCallPart", "ToolResultPart", "TextPart"),
    ]
    assert [message.role for message in model.requests[-1].messages] == [
        *("user", "assistant", "tool", "tool", "assistant", "tool"),
    ]


async def test_what_may_run_beside_each_other_does(sqlite: str) -> None:
    both = asyncio.Barrier(2)

    @tool(parallel=True)
    async def meet(n: int) -> int:
        await both.wait()  # one alone would wait for ever
        return n

    model = ScriptedModel([calls("meet", '{"n":1}', "a"), calls("meet", '{"n":2}', "b", 1)], ["Met."])

    _, (turn, state) = await talked(sqlite, model, meet)

    assert turn.status == "completed"
    results = [part for part in state.messages[-1].parts if isinstance(part, ToolResultPart)]
    assert [(part.call_id, part.output) for part in results] == [("a", "1"), ("b", "2")]


async def _late() -> str:
    """Never done."""
    await asyncio.get_running_loop().create_future()
    return ""


def _refuses() -> str:
    raise ToolFailed("The shop is closed.")


def _breaks() -> str:
    raise RuntimeError("the password is swordfish")


@pytest.mark.promise("X-05")
@pytest.mark.parametrize(
    ("made", "arguments", "output"),
    [
        (tool(weather), "{}", "The arguments are not valid: Object missing required field `place`"),
        (tool(weather), '{"place": {"city": "Köln"', "The arguments are not valid"),
        (tool(weather), '{"place": {"city": 5}}', "The arguments are not valid"),
        (
            tool(weather),
            '{"place": {"city": "K"}, "x": 1}',
            "The arguments are not valid: Object contains unknown field",
        ),
        (tool(timeout_s=0.01)(_late), "{}", "The tool took longer than 0.01 s."),
        (tool(_refuses), "{}", "The shop is closed."),
        (tool(_breaks), "{}", "The tool failed."),
        (tool(name="other")(weather), "{}", "There is no tool 'weather'."),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model_which_goes_on(
    sqlite: str, caplog: pytest.LogCaptureFixture, made: Any, arguments: str, output: str
) -> None:
    name = "weather" if made.name == "other" else made.name
    model = ScriptedModel([calls(name, arguments)], ["Then not."])

    _, (turn, state) = await talked(sqlite, model, made)

    result = state.messages[-1].parts[1]
    assert isinstance(result, ToolResultPart)
    assert result.is_error
    assert result.output.startswith(output)
    assert (turn.status, state.messages[-1].parts[-1]) == ("completed", TextPart("Then not."))
    assert "swordfish" not in caplog.text + result.output


async def test_tools_that_hang_hang_for_nobody_else(sqlite: str) -> None:
    """The event loop's own threads, of which there are few, are the engine's."""
    released = threading.Event()
    hanging = ThreadPoolExecutor()._max_workers

    @tool(timeout_s=0.01, parallel=True)
    def hang(n: int) -> None:
        released.wait(60)

    answer: list[Act] = [calls("hang", f'{{"n":{n}}}', f"call_{n}", n) for n in range(hanging)]
    spec = AgentSpec(id="demo", name="Demo", run=assistant, model_id="scripted:m", tools=(hang,))
    model = ScriptedModel(answer, ["All of them hang."])
    async with opened(sqlite) as store, working(store, spec, provider=model) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.ask()
        results = [part for part in (await talk.answer(turn.id)).parts if isinstance(part, ToolResultPart)]
        assert [part.output for part in results] == ["The tool took longer than 0.01 s."] * hanging

        try:
            async with asyncio.timeout(30):
                assert len((await searching.find(store, "ann", "Hello")).data) == 1
        finally:
            released.set()


async def test_a_long_result_is_cut_and_says_so(sqlite: str) -> None:
    @tool(result_chars=10)
    def much() -> str:
        return "x\x00" * 100

    _, (_, state) = await talked(sqlite, ScriptedModel([calls("much")], ["Ah."]), much)

    assert state.messages[-1].parts[1] == ToolResultPart(
        "call_1", "x\ufffd" * 5 + "\n[cut: the result had 200 characters]"
    )


async def test_a_model_that_never_stops_calling_is_stopped(sqlite: str) -> None:
    def again() -> str:
        return "again"

    endless: list[list[Act]] = [[calls("again", call_id=f"call_{n}")] for n in range(10)]

    _, (turn, state) = await talked(sqlite, ScriptedModel(*endless), again, max_steps=3)

    assert (turn.status, turn.reason) == ("incomplete", "max_steps")
    assert len(state.messages[-1].parts) == 6


async def test_when_the_window_is_full_the_oldest_results_make_room(sqlite: str) -> None:
    def much(n: int) -> str:
        return f"{n} " + "word " * 800

    model = ScriptedModel(*([calls("much", f'{{"n":{n}}}', f"call_{n}")] for n in range(4)), ["Done."])

    _, (turn, state) = await talked(sqlite, model, much)

    assert turn.status == "completed"
    sent = [message.content[:10] for message in model.requests[-1].messages if message.role == "tool"]
    assert (sent[0], sent[-1][:2]) == ("[left out:", "3 ")
    kept = [part for part in state.messages[-1].parts if isinstance(part, ToolResultPart)]
    assert all(part.output.startswith(f"{n} ") for n, part in enumerate(kept)), "only models are spared it"


async def test_an_answer_cut_off_by_its_length_is_incomplete(sqlite: str) -> None:
    _, (turn, _) = await talked(sqlite, CutOff("length", ["Once upon"]))

    assert (turn.status, turn.reason) == ("incomplete", "length")


@pytest.mark.promise("R-08")
@pytest.mark.parametrize("why", ["length", "content_filter"])
@pytest.mark.parametrize("said", ["", "{}"])
async def test_a_call_of_an_answer_that_was_cut_off_is_not_made(sqlite: str, why: str, said: str) -> None:
    """The model had more to say, of what is to be wiped perhaps."""
    wiped: list[str] = []

    def wipe(pattern: str = "*") -> None:
        wiped.append(pattern)

    _, (turn, state) = await talked(sqlite, CutOff(why, ["I wipe ", calls("wipe", said)]), wipe)

    assert wiped == []
    assert (turn.status, turn.reason) == ("incomplete", why)
    result = state.messages[-1].parts[-1]
    assert isinstance(result, ToolResultPart)
    assert result.output.startswith("not_started")


@pytest.mark.parametrize("why", ["tool_calls", "stop"])
async def test_a_call_without_a_word_of_arguments_is_made(sqlite: str, why: str) -> None:
    async def now() -> str:
        return "noon"

    _, (turn, state) = await talked(sqlite, CutOff(why, [calls("now", "")], ["Noon."]), now)

    assert turn.status == "completed"
    assert state.messages[-1].parts[1] == ToolResultPart("call_1", "noon")


@pytest.mark.promise("R-03")
async def test_a_steering_message_is_taken_over_between_two_calls_of_the_model(sqlite: str) -> None:
    running, steered = asyncio.Event(), asyncio.Event()

    async def dig() -> str:
        running.set()
        await steered.wait()
        return "nothing"

    model = ScriptedModel(["I dig. ", calls("dig")], ["I stop."])
    spec = AgentSpec(id="demo", name="Demo", run=assistant, model_id="scripted:m", tools=(dig,))
    async with opened(sqlite) as store, working(store, spec, provider=model) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.send("Dig!")
        await running.wait()
        await talk.send("Stop!", mode="steer")
        steered.set()
        await talk.ended(turn.id)
        state = await talk.state()

    assert [(message.role, len(message.parts)) for message in state.messages] == [
        *(("user", 1), ("assistant", 3), ("user", 1), ("assistant", 1)),
    ]
    assert [message.role for message in model.requests[1].messages][-2:] == ["assistant", "user"]
    assert model.requests[1].messages[-1].content == "Stop!"


@pytest.mark.promise("R-08")
async def test_an_agent_uses_a_tool_as_a_model_would(sqlite: str) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield await turn.use(weather, place={"city": "Bonn"})
        try:
            await turn.use(_refuses)
        except ToolFailed as error:
            yield f" {error.message}"

    spec = AgentSpec(id="demo", name="Demo", run=answer)
    async with opened(sqlite) as store, working(store, spec) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.ask()
        parts = (await talk.answer(turn.id)).parts

    assert [type(part).__name__ for part in parts] == [
        *("ToolCallPart", "ToolResultPart", "TextPart", "ToolCallPart", "ToolResultPart", "TextPart"),
    ]
    assert parts[-1] == TextPart(" The shop is closed.")
