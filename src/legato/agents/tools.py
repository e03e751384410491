"""Tools: typed Python functions that a model may call (promise A-01)."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_type_hints, overload

import msgspec

from legato.core.errors import Busy, Misuse, ToolFailed
from legato.core.text import normalise
from legato.providers.port import ToolSpec

if TYPE_CHECKING:
    from legato.agents.turn import Turn

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEFAULT_TIMEOUT_S: Final = 60.0
_DEFAULT_RESULT_CHARS: Final = 20_000
_REFERENCE: Final = "#/$defs/{name}"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that a model may call, and how.

    ``arguments`` is the type of what it takes, ``parameters`` the JSON schema of that. It may take ``timeout_s``, and what it
    returns is cut to ``result_chars``. ``approve``: a person is asked before each call. ``parallel``: it may run beside others
    that may. ``repeatable``: it may be called again when a process died in the middle of a call.
    """

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[msgspec.Struct]
    parameters: dict[str, Any]
    turn_parameter: str | None = None
    timeout_s: float = _DEFAULT_TIMEOUT_S
    result_chars: int = _DEFAULT_RESULT_CHARS
    approve: bool = False
    parallel: bool = False
    repeatable: bool = False

    @property
    def spec(self) -> ToolSpec:
        """What a model is told."""
        return ToolSpec(self.name, self.description, self.parameters)

    async def call(self, turn: "Turn", arguments: str) -> str:
        """What the function returns, as text: a string as it is, anything else as JSON.

        A function that is not ``async`` runs in a thread of its own, which goes on when its time is over. That begins when the
        thread does.

        Raises:
            ToolFailed: the arguments (JSON text) are not what it takes, it could not begin, it took too long, or it raised this
            itself; and whatever else it raises.
        """
        values = self._values(arguments)
        if self.turn_parameter is not None:
            values[self.turn_parameter] = turn
        try:
            result = await turn.threads.call(partial(self.function, **values), self.timeout_s)
        except TimeoutError as error:
            raise ToolFailed(f"The tool took longer than {self.timeout_s:g} s.") from error
        except Busy as error:
            raise ToolFailed(error.message) from error
        return self._cut(result if isinstance(result, str) else msgspec.json.encode(result).decode())

    def _values(self, arguments: str) -> dict[str, Any]:
        try:
            given = msgspec.json.decode(arguments or "{}", type=self.arguments, strict=False)
        except (ValueError, RecursionError) as error:
            raise ToolFailed(f"The arguments are not valid: {error}") from error
        return {name: getattr(given, name) for name in self.arguments.__struct_fields__}

    def _cut(self, text: str) -> str:
        text = normalise(text)
        if len(text) <= self.result_chars:
            return text
        return f"{text[: self.result_chars]}\n[cut: the result had {len(text)} characters]"


Function = Callable[..., Any]
ToolLike = Tool | Function


@overload
def tool(function: Function, /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = _DEFAULT_TIMEOUT_S,
    result_chars: int = _DEFAULT_RESULT_CHARS,
    approve: bool = False,
    parallel: bool = False,
    repeatable: bool = False,
) -> Callable[[Function], Tool]: ...
def tool(function: Function | None = None, /, **options: Any) -> Tool | Callable[[Function], Tool]:
    """Make a typed function a tool, with its docstring as what the model is told (and ``Args:`` for each argument).

    A parameter annotated with ``Turn`` is given the turn, and the model is not told of it.

    Raises:
        Misuse: a parameter has no type, or one that JSON has no word for; the name is not one that models know.
    """
    if function is not None:
        return _make(function, {})
    return lambda function: _make(function, options)


def as_tool(given: ToolLike) -> Tool:
    """A tool as it is, a function as a tool. Raises Misuse."""
    return given if isinstance(given, Tool) else _make(given, {})


def _make(function: Function, options: dict[str, Any]) -> Tool:
    given = dict(options)
    name = given.pop("name", None) or function.__name__
    if _NAME.fullmatch(name) is None:
        raise Misuse(f"the tool {name!r} can't have this name: 1 to 64 of A-Z a-z 0-9 _ -")
    said = inspect.getdoc(function) or ""
    turn_parameter, fields = _fields(function, name)
    arguments = msgspec.defstruct(name.replace("-", "_"), fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
    return Tool(
        name=name,
        description=given.pop("description", None) or _summary(said),
        function=function,
        arguments=arguments,
        parameters=_schema(arguments, name, said),
        turn_parameter=turn_parameter,
        **given,
    )


def _fields(function: Function, name: str) -> tuple[str | None, list[Any]]:
    """The parameter that takes the turn, and the others as fields: name, type and default."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise Misuse(f"the types of the tool {name!r} can't be read: {error}") from error
    turn_parameter = None
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if hint is None or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Misuse(f"the parameter {parameter.name!r} of the tool {name!r} needs a name and a type")
        if _is_turn(hint):
            turn_parameter = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint, _default(parameter.default)))
    return turn_parameter, fields


def _default(value: Any) -> Any:
    """A mutable default must be the function's own, not shared by calls."""
    return msgspec.field(default_factory=lambda: value) if isinstance(value, list | dict | set) else value


def _is_turn(hint: Any) -> bool:
    from legato.agents.turn import Turn  # it knows this module

    return hint is Turn


def _schema(arguments: type[msgspec.Struct], name: str, said: str) -> dict[str, Any]:
    try:
        _, components = msgspec.json.schema_components([arguments], ref_template=_REFERENCE)
    except TypeError as error:
        raise Misuse(f"the tool {name!r} takes what JSON has no word for: {error}") from error
    schema: dict[str, Any] = components.pop(arguments.__name__)
    schema.pop("title", None)
    for argument, words in _told_of_arguments(said).items():
        if argument in schema["properties"]:
            schema["properties"][argument].setdefault("description", words)
    return schema | ({"$defs": components} if components else {})


def _summary(said: str) -> str:
    """The docstring up to its sections."""
    return re.split(r"\n\s*(?:Args|Arguments|Returns|Raises):", said, maxsplit=1)[0].strip()


def _told_of_arguments(said: str) -> dict[str, str]:
    """What the section ``Args:`` of a docstring says of each."""
    section = re.search(r"^\s*(?:Args|Arguments):\n((?:[ \t]+.*\n?|\n)*)", said, re.MULTILINE)
    found = re.findall(r"^\s+(\w+)(?: \([^)]*\))?: (.+)$", section[1], re.MULTILINE) if section else []
    return {name: words.strip() for name, words in found}
