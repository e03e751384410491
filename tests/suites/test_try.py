import pytest
from tests.support.conversation import Conversation
pytestmark = pytest.mark.anyio
async def test_it(conversation: Conversation) -> None:
    await conversation.answer()
async def test_it2(conversation: Conversation) -> None:
    await conversation.answer()
async def test_rollback(conversation: Conversation) -> None:
    await conversation.answer()
    c = await conversation.start("x")
    await conversation.say("y")
    await conversation.send("z", mode="rollback")
async def test_retry_other_branch(conversation: Conversation) -> None:
    a=await conversation.answer("a1", "A")
    b=await conversation.answer("b1", "B")
    await conversation.again("retry", a)
    await conversation.claimed(); await conversation.say("a2"); await conversation.finish()
    await conversation.again("retry", b)
    await conversation.claimed(); await conversation.say("b2"); await conversation.finish()
