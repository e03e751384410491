"""What readers say about their language: tags such as ``sv`` and ``sv-SE``."""


def liked_best(accept_language: str | None) -> str | None:
    """The first tag of an ``Accept-Language`` header; None where it names none."""
    if not accept_language:
        return None
    tag = accept_language.split(",")[0].split(";")[0].strip()
    return tag if 0 < len(tag) <= 35 and tag.isascii() and tag != "*" else None


def base_language(tag: str | None) -> str:
    """The language of a tag, in lower case; English where there is none."""
    return (tag or "en").replace("_", "-").partition("-")[0].lower()
