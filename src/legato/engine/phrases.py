"""What a reader is told when nobody could answer, in the reader's language (promise R-13)."""

from typing import Final

from legato.core.languages import base_language

_UNAVAILABLE: Final = {
    "en": "This assistant is switched off at the moment. Please try again later.",
    "sv": "Assistenten är avstängd just nu. Försök igen senare.",
    "ru": "Ассистент сейчас отключён. Попробуйте позже.",
}


def unavailable(locale: str | None) -> str:
    """The explanation for a language tag such as ``sv`` or ``sv-SE``; English for any other."""
    return _UNAVAILABLE.get(base_language(locale), _UNAVAILABLE["en"])
