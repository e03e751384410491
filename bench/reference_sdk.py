"""The reference **sdk**: what a FastAPI application with the ``openai`` package does, and stores nothing."""

import json
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel
from starlette.responses import StreamingResponse

app = FastAPI()
# With its own patience (5 s to connect) it fails where it is saturated.
_openai = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="bench", timeout=600.0, max_retries=0)


class Question(BaseModel):
    text: str


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    return StreamingResponse(_frames(question.text), media_type="text/event-stream")


async def _frames(text: str) -> AsyncIterator[str]:
    stream = await _openai.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": text}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.choices and (piece := chunk.choices[0].delta.content):
            yield f"event: token\ndata: {json.dumps({'text': piece})}\n\n"
    yield "event: done\ndata: {}\n\n"
