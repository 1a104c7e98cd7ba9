"""Every word in both languages, with the same gaps to fill."""

from __future__ import annotations

import re
import string
import unicodedata

import pytest

from reports.words import TEXT, Words, own_name, tagged_name


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", TEXT)
def test_pair(key: str) -> None:
    english, korean = TEXT[key]
    assert english
    assert korean
    assert fields(english) == fields(korean)
    assert unicodedata.is_normalized("NFC", korean)
    assert not re.search("[가-힣]", english)


def test_sentences_are_korean() -> None:
    bare = {key for key, (english, korean) in TEXT.items() if " " in english and not re.search("[가-힣]", korean)}
    assert bare == {"kld_p99", "kld_p999", "delta_p_rms"}


def test_other_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="en or ko, not in 'de'"):
        Words("de")


def test_names() -> None:
    assert own_name("ko") == "한국어"
    assert tagged_name("ja") == "ja 日本語"
    assert tagged_name("tlh") == "tlh"
