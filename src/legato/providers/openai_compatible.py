"""Any server with OpenAI's ``POST /chat/completions``: OpenAI, llama.cpp, vLLM, Ollama, OpenRouter …"""

from legato.providers.body import encode_request
from legato.providers.chunks import Chunks
from legato.providers.http import HttpProvider
from legato.providers.interpreter import Interpreter
from legato.providers.port import ModelRequest


class OpenAICompatible(HttpProvider):
    """See ``HttpProvider``."""

    def _path(self) -> str:
        return "/chat/completions"

    def _credentials(self) -> dict[str, str]:
        key = self._options.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _encode(self, request: ModelRequest) -> bytes:
        return encode_request(request, self._options)

    def _interpreter(self, request: ModelRequest) -> Interpreter:
        return Chunks()
