"""The demo agent's small model: a script as well. It knows which work it is asked for by the system prompt."""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from legato.agents import demo_memory
from legato.core import memory, titles

_WORD: Final = re.compile(r"[^\W_](?:[\w'’+#-]*[\w+#])?")
_SWEDISH: Final = re.compile(r"[åäö]|\b(?:och|att|är|jag|hur|vad|som|på|av|för|mig|kan|inte)\b", re.IGNORECASE)
_CYRILLIC: Final = re.compile("[а-яё]", re.IGNORECASE)
_EMPTY: Final = {
    "en": "a about am an and any are as at be been but by can could did do does for from get give go goes had has have hello "
    "help hey hi how i i'm if in into is it its let me my need of on or our please show so some tell than thank thanks "
    "that the their them then there these they this to us want was we were what what's when where which who whose why "
    "will with would you your",
    "sv": "alla att av berätta de dem den det du eller en ett finns för från gör ha har hej hjälp hur här i inte jag kan kunde "
    "man med men mig min mina mitt ni något några när och om oss på samt ska skulle som snälla så tack till under upp ut vad "
    "var vara varför vem vi vill vilka vilken vilket visa är",
    "ru": "а без бы был была были быть в вам вас во вот все вы где да для до его ее если есть же за здравствуйте и из или им "
    "их как какая какие какой когда кто ли меня мне можешь можно мой моя мы на над надо не нет но ну о об он она они от по "
    "пожалуйста помоги почему при привет про расскажи с сколько со так там то тоже ты у хочу что чтобы это я",
}


class _Beginning(msgspec.Struct, frozen=True):
    """``core.titles.as_data``, read again."""

    question: str = ""


async def demo_side(system: str, text: str) -> str:
    """What a small model would answer; nothing to whatever it does not know."""
    work = _WORK.get(system)
    return "" if work is None else work(text)


def title_of(data: str) -> str:
    """The first words of the question that say something."""
    question = msgspec.json.decode(data, type=_Beginning).question
    language = "ru" if _CYRILLIC.search(question) else "sv" if _SWEDISH.search(question) else "en"
    empty = _EMPTY[language].split()
    words: list[str] = _WORD.findall(question)
    telling = [word for word in words if word.lower().replace("’", "'") not in empty] or words
    while telling and len(" ".join(telling[: titles.MAX_WORDS])) > titles.MAX_CHARS:
        telling = telling[: titles.MAX_WORDS][:-1]
    return " ".join(
        word if at and language != "en" else word[:1].upper() + word[1:]  # only English writes Titles So
        for at, word in enumerate(telling[: titles.MAX_WORDS])
    )


_WORK: Final[dict[str, Callable[[str], str]]] = {
    titles.SYSTEM: title_of,
    memory.SYSTEM: demo_memory.draw,
}
