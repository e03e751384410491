"""What a reader is told when nobody could answer, in the reader's language (promise R-13)."""

from typing import Final

from legato.core.languages import base_language

_UNAVAILABLE: Final = {
    "en": "This assistant is switched off at the moment. Please try again later.",
    "sv": "Assistenten är avstängd just nu. Försök igen senare.",
    "ru": "Ассистент сейчас отключён. Попробуйте позже.",
}

_DEGRADED: Final = {
    "en": "Our memory is out of reach at the moment: this answer knows nothing of what was said before, and is not kept.",
    "sv": "Minnet går inte att nå just nu: svaret känner inte till vad som har sagts tidigare, och sparas inte.",
    "ru": "Память сейчас недоступна: этот ответ не учитывает сказанное раньше и не сохранится.",
}


def unavailable(locale: str | None) -> str:
    """The explanation for a language tag such as ``sv`` or ``sv-SE``; English for any other."""
    return _UNAVAILABLE.get(base_language(locale), _UNAVAILABLE["en"])


def degraded(locale: str | None) -> str:
    """The warning of an answer without the store (promise R-14)."""
    return _DEGRADED.get(base_language(locale), _DEGRADED["en"])
