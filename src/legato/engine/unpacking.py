"""The files of a conversation that comes in: each is kept like one that was uploaded, for what its bytes are.

What can't be kept (it is missing, damaged, of a type that nothing can be done with, or there is no room for it) leaves a line.
"""

import msgspec

from legato.core import files
from legato.core.errors import Conflict, Invalid
from legato.core.model import FilePart, Message, Part, TextPart
from legato.engine.attachments import Attachments
from legato.transfer.records import Conversation, Skipped


class Unpacked:
    """A conversation with its files in the store. ``skipped`` are those that are not."""

    def __init__(self, attachments: Attachments, owner: str, conversation: Conversation) -> None:
        self.skipped: list[Skipped] = []
        self._attachments = attachments
        self._owner = owner
        self._conversation = conversation

    async def conversation(self) -> Conversation:
        """As it is to arrive: each file part names a file of the owner's that no message has yet."""
        messages = [await self._message(message) for message in self._conversation.messages]
        return msgspec.structs.replace(self._conversation, messages=tuple(messages))

    async def _message(self, message: Message) -> Message:
        if not any(isinstance(part, FilePart) for part in message.parts):
            return message
        parts = [await self._file(part) if isinstance(part, FilePart) else part for part in message.parts]
        return msgspec.structs.replace(message, parts=tuple(parts))

    async def _file(self, part: FilePart) -> Part:
        luggage = self._conversation.luggage
        found = "its content is not in the file" if luggage is None else luggage.open(part.file_id)
        if not isinstance(found, str):
            try:
                file = await self._attachments.keep(self._owner, found, part.name)
            except (Invalid, Conflict) as error:
                found = error.message
            else:
                return FilePart(file.id, file.name, file.media_type, file.size, file.tokens)
        name = files.clean_name(part.name)
        self.skipped.append(Skipped(place=self._conversation.place, what=f"file {name}", why=found))
        return TextPart(files.unseen(name, part.media_type, "it did not come with the conversation"))
