"""The reference **aiohttp**: the same as ``reference_sdk`` without the SDK."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import StreamingResponse


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app.state.http = session
        yield


app = FastAPI(lifespan=_lifespan)
_URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


class Question(BaseModel):
    text: str


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    return StreamingResponse(_frames(question.text), media_type="text/event-stream")


async def _frames(text: str) -> AsyncIterator[str]:
    body = {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with app.state.http.post(_URL, json=body) as response:
        async for line in response.content:
            if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                choices = json.loads(line[6:])["choices"]
                if choices and (piece := choices[0]["delta"].get("content")):
                    yield f"event: token\ndata: {json.dumps({'text': piece})}\n\n"
    yield "event: done\ndata: {}\n\n"
