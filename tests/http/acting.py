"""What tests of turns do again and again: have one run, have it end, look at what its agent was told."""

from typing import Any

from legato.core.model import TextPart
from tests.http.puppets import Puppet, Puppets
from tests.http.speaking import Api


async def running(api: Api, puppets: Puppets, session: str, text: str = "First", said: str = "So far") -> str:
    """A turn that runs and has said something which is durable; its id."""
    turn = await api.send(session, text)
    puppet = await puppets.of(turn["id"])
    puppet.say(said)
    async with api.follow(session, "0") as stream:
        await stream.until(lambda event: event.type == "token" and event.data["turn_id"] == turn["id"])
    return str(turn["id"])


async def finish(api: Api, puppets: Puppets, session: str, turn_id: str, said: str = "Done") -> Any:
    """Lets a turn say this and end, as soon as it runs; the turn then."""
    puppet = await puppets.of(turn_id)
    puppet.say(said)
    puppet.end()
    return await api.over(session, turn_id)


def heard_by(puppet: Puppet) -> list[str]:
    """The texts of the history that an agent was given."""
    parts = [part for message in puppet.turn.history for part in message.parts]
    return [part.text for part in parts if isinstance(part, TextPart)]


async def waiting_in(api: Api, session: str) -> list[str]:
    """The turns that are queued, in the order in which they will run."""
    return [turn["id"] for turn in (await api.state(session))["turns"] if turn["status"] == "queued"]
