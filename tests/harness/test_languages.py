from __future__ import annotations

import doctest
import unicodedata

import pytest

from harness import languages
from harness.languages import LANGUAGES, is_code, joiner, suggestion


def test_examples():
    assert doctest.testmod(languages).failed == 0


def test_the_eight_of_the_bundled_texts_are_known():
    assert list(LANGUAGES) == ["en", "ko", "ja", "zh", "fr", "es", "vi", "id"]


def test_codes_are_unique_well_formed_and_agree_with_flores_on_the_script():
    for code, language in LANGUAGES.items():
        assert language.code == code
        assert is_code(code)
        assert language.flores.endswith(f"_{language.script}")
        assert unicodedata.is_normalized("NFC", language.own_name)
    assert len({language.flores for language in LANGUAGES.values()}) == 8


def test_only_japanese_and_chinese_join_sentences_with_nothing():
    assert [code for code, language in LANGUAGES.items() if language.joiner == ""] == ["ja", "zh"]
    assert joiner("zh-Hans-CN") == ""
    assert joiner("th") == " "


@pytest.mark.parametrize("code", ["th", "ar", "yue", "zh-Hant", "pt-BR", "sr-Latn-RS", "es-419"])
def test_any_language_is_accepted(code):
    assert is_code(code)


@pytest.mark.parametrize("text", ["EN", "english", "k", "ko_KR", "ko-", "kor_Hang", "한국어", "ko ko"])
def test_what_is_no_code(text):
    assert not is_code(text)


@pytest.mark.parametrize("text", ["Korean", "korean", "한국어", "kor_Hang", "kor", "KO"])
def test_other_names_of_a_language_lead_to_its_code(text):
    assert suggestion(text) == " Did you mean 'ko'?"


def test_no_suggestion_for_what_we_do_not_know():
    assert suggestion("Klingon") == ""
