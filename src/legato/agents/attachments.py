"""Files on their way to a model: their content is loaded when a request is built, and not before."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from legato.core import files
from legato.core.errors import Corrupted
from legato.core.prompt import PromptFile, PromptMessage

#: The content of a file by its id; None where it has been removed meanwhile. Raises Corrupted.
Load = Callable[[str], Awaitable[bytes | None]]

_GONE: Final = "it has been removed"
_DAMAGED: Final = "it is damaged"


async def with_content(messages: Sequence[PromptMessage], load: Load) -> tuple[PromptMessage, ...]:
    """The messages as a provider is given them: texts among the words, images and documents with their bytes."""
    return tuple([await _whole(message, load) if message.files else message for message in messages])


async def _whole(message: PromptMessage, load: Load) -> PromptMessage:
    words: list[str] = []
    carried: list[PromptFile] = []
    for file in message.files:
        try:
            content = await load(file.file_id)
        except Corrupted:  # that costs the file, and the conversation goes on
            words.append(files.unseen(file.name, file.media_type, _DAMAGED))
            continue
        if content is None:
            words.append(files.unseen(file.name, file.media_type, _GONE))
        elif file.media_type == files.TEXT:
            words.append(files.inlined(file.file_id, file.name, await asyncio.to_thread(files.text_of, content)))
        else:
            carried.append(msgspec.structs.replace(file, content=content))
    if message.content:
        words.append(message.content)
    return msgspec.structs.replace(message, content="\n\n".join(words), files=tuple(carried))
