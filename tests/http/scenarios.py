"""Sessions in which everything happens that may happen, followed by a stream from the beginning."""

from functools import partial

from tests.http.puppets import Puppet, Puppets
from tests.http.speaking import Api, Stream


async def say(puppet: Puppet, stream: Stream, *pieces: str) -> None:
    """Each piece an event of its own: the next is said when the one before has been read."""
    for piece in pieces:
        puppet.say(piece)
        await stream.until(lambda event: event.type == "token")


async def over(stream: Stream, turn_id: str) -> None:
    await stream.until(lambda event: event.type == "done" and event.data["turn_id"] == turn_id)


async def everything(api: Api, puppets: Puppets, session: str, stream: Stream) -> str:
    """What may happen in a session, with every type of event; the last turn's id."""
    first = (await api.send(session, "First"))["id"]
    puppet = await puppets.of(first)
    turn = puppet.turn
    puppet.phase("planning")
    puppet.do(lambda: turn.reasoning("Hm 🤔"))
    await say(puppet, stream, "Wrong", " start")
    puppet.do(turn.reset)
    await stream.until("reset")
    await say(puppet, stream, "data: x\n\nid: 7\r", "\u2028 right ")
    puppet.phase("executing", "weather")
    await _tool(puppet, stream)
    puppet.do(lambda: turn.warn("slow", "It takes long."))
    await stream.until("warning")
    steering = (await api.send(session, "Also Rome", mode="steer"))["id"]
    puppet.steer()
    await over(stream, steering)
    await say(puppet, stream, "Rome ", "too")
    puppet.end()
    await over(stream, first)
    failing = (await api.send(session, "Fail"))["id"]
    puppet = await puppets.of(failing)
    await say(puppet, stream, "Alas")
    puppet.fail(RuntimeError("no"))
    await over(stream, failing)
    await _asked(api, puppets, session, stream)
    await api.call("PATCH", session, {"title": "Eventful"})
    retried: str = (await api.call("POST", f"{session}/turns/{failing}/retry", status=202))["turn"]["id"]
    puppet = await puppets.of(retried)
    await say(puppet, stream, "Better", ", much")
    puppet.end()
    await over(stream, retried)
    return retried


async def _asked(api: Api, puppets: Puppets, session: str, stream: Stream) -> None:
    asking = (await api.send(session, "Ask"))["id"]
    for attempt in (1, 2):
        puppet = await puppets.of(asking, attempt)
        puppet.say("Well, ")
        puppet.do(partial(puppet.turn.ask, "Send?", tool="mail"))
        if attempt == 1:
            await stream.until(lambda event: event.type == "approval")
            (approval,) = (await api.call("GET", "/v1/approvals"))["data"]
            approval_id = approval["id"]
            await api.call("POST", f"/v1/approvals/{approval_id}", {"decision": "deny"})
    await say(puppet, stream, "then not.")
    puppet.end()
    await over(stream, asking)


async def _tool(puppet: Puppet, stream: Stream) -> None:
    async def call() -> None:
        call_id = await puppet.turn.tool_call("weather", '{"city": "京都"}')
        await puppet.turn.tool_result(call_id, "☀️", is_error=False)

    puppet.do(call)
    await stream.until("tool_result")


async def taken_back(api: Api, puppets: Puppets, session: str, stream: Stream) -> str:
    """What leaves holes in a journal: rolled back, interrupted, withdrawn; the last turn's id."""
    gone = (await api.send(session, "Gone"))["id"]
    await say(await puppets.of(gone), stream, "for", "gotten")
    cut_short = (await api.send(session, "Cut short", mode="rollback"))["id"]
    await over(stream, gone)
    await say(await puppets.of(cut_short), stream, "so", " far")
    withdrawn = (await api.send(session, "Never mind"))["id"]
    await api.call("DELETE", f"{session}/turns/{withdrawn}")
    last: str = (await api.send(session, "Last", mode="interrupt"))["id"]
    puppet = await puppets.of(last)
    await over(stream, cut_short)
    await say(puppet, stream, "the", " end")
    puppet.end()
    await over(stream, last)
    return last
