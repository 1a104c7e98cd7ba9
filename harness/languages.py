"""Languages by BCP-47 code: the eight of the bundled texts by name, any other by its code alone."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    code: str
    """BCP-47, such as ``ko``; what we say everywhere."""
    english_name: str
    own_name: str
    script: str
    """ISO 15924, such as ``Hang``."""
    flores: str
    """The code of FLORES-200, such as ``kor_Hang``."""
    joiner: str = " "
    """What stands between two sentences of a passage: a space, or nothing in Japanese and Chinese."""


LANGUAGES: dict[str, Language] = {
    language.code: language
    for language in (
        Language("en", "English", "English", "Latn", "eng_Latn"),
        Language("ko", "Korean", "한국어", "Hang", "kor_Hang"),
        Language("ja", "Japanese", "日本語", "Jpan", "jpn_Jpan", joiner=""),
        Language("zh", "Chinese", "中文", "Hans", "zho_Hans", joiner=""),
        Language("fr", "French", "français", "Latn", "fra_Latn"),
        Language("es", "Spanish", "español", "Latn", "spa_Latn"),
        Language("vi", "Vietnamese", "Tiếng Việt", "Latn", "vie_Latn"),
        Language("id", "Indonesian", "Bahasa Indonesia", "Latn", "ind_Latn"),
    )
}

_CODE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")


def is_code(text: str) -> bool:
    """Whether ``text`` has the shape of a language code: language, then perhaps script, then perhaps region.

    >>> [is_code(text) for text in ("ko", "zh-Hant", "pt-BR", "Korean", "kor_Hang", "")]
    [True, True, True, False, False, False]
    """
    return _CODE.fullmatch(text) is not None


def suggestion(text: str) -> str:
    """The code somebody meant who wrote a name or another project's code, as a question to append, or nothing.

    >>> suggestion("Korean"), suggestion("eng_Latn"), suggestion("EN")
    (" Did you mean 'ko'?", " Did you mean 'en'?", " Did you mean 'en'?")
    """
    for language in LANGUAGES.values():
        names = (language.code, language.english_name, language.own_name, language.flores, language.flores[:3])
        if text.lower() in (name.lower() for name in names):
            return f" Did you mean '{language.code}'?"
    return ""


def not_a_code(text: str) -> str:
    """The sentence for a language that is none."""
    return (
        f"'{text}' is no language code.{suggestion(text)} Codes are BCP-47, such as ko, th or zh-Hant; "
        "`langgap languages` lists those of the bundled texts."
    )


def joiner(code: str) -> str:
    """What stands between two sentences in this language.

    >>> joiner("ja"), joiner("zh-Hant"), joiner("th-TH"), joiner("sw")
    ('', '', ' ', ' ')
    """
    language = LANGUAGES.get(code.split("-")[0])
    return language.joiner if language else " "
