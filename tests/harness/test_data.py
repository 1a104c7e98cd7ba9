"""The bundled texts keep what docs/texts.md promises of them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from importlib import resources

import pytest

from harness.corpora import load_corpus
from harness.languages import LANGUAGES
from harness.overlap import overlap

LINES = resources.files("harness").joinpath("data/passages.jsonl").read_text(encoding="utf-8").splitlines()
ROWS = [row for row in map(json.loads, LINES) if "canary" not in row]
FIELDS = ["group", "split", "register", "topic", "source_language", "language", "sentences"]
# Script of each language's own letters: which of them a row must be made of, and how much of it.
SCRIPTS = {
    "en": r"[A-Za-z]",
    "fr": r"[A-Za-zÀ-ÿŒœ]",
    "es": r"[A-Za-zÀ-ÿ]",
    "vi": r"[A-Za-zÀ-ỹ]",
    "id": r"[A-Za-z]",
    "ko": r"[가-힣]",
    "ja": r"[ぁ-ゖァ-ヺー一-鿿々]",
    "zh": r"[一-鿿]",
}
# A word or letter that no row of some length can do without, and that no other language here has.
TELLING = {
    "en": r"\b(the|and|of|is|you)\b",
    "fr": r"\b(le|la|les|des|une?|est|et)\b",
    "es": r"\b(el|los|las|una?|es|y|del)\b",
    "vi": r"[ăđơưạ-ỹ]",
    "id": r"\b(yang|dan|di|itu|dengan|untuk|tidak)\b",
    "ko": r"[가-힣]",
    "ja": r"[ぁ-ゖ]",
    "zh": r"[的是了一在不]",
}


def text_of(row: dict) -> str:
    return LANGUAGES[row["language"]].joiner.join(row["sentences"])


def test_the_first_line_is_the_canary_and_nothing_else_is() -> None:
    first = json.loads(LINES[0])
    assert list(first) == ["canary"]
    assert re.search(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", first["canary"])
    assert sum("canary" in line for line in LINES) == 1


def test_no_passage_shows_the_canary() -> None:
    assert not any(
        "canary" in item.text for split in ("test", "calibration") for item in load_corpus("bundled", "en", split)
    )


def test_every_group_is_complete_in_eight_languages() -> None:
    assert Counter(row["group"] for row in ROWS) == dict.fromkeys({row["group"] for row in ROWS}, 8)
    assert {(row["group"], row["language"]) for row in ROWS} == {
        (row["group"], code) for row in ROWS for code in LANGUAGES
    }
    assert len(ROWS) == 80 * 8


def test_each_language_is_the_source_of_five_test_and_five_calibration_groups() -> None:
    groups = {(row["group"], row["split"], row["source_language"]) for row in ROWS}
    assert Counter((split, source) for _, split, source in groups) == {
        (split, code): 5 for split in ("test", "calibration") for code in LANGUAGES
    }
    assert all(re.fullmatch(f"{source}-{split[0]}[1-5]", group) for group, split, source in groups)


def test_rows_have_the_fields_and_agree_within_a_group() -> None:
    assert all(list(row) == FIELDS for row in ROWS)
    assert len({(row["group"], row["register"], row["topic"]) for row in ROWS}) == 80


def test_topics_differ() -> None:
    assert len({row["topic"] for row in ROWS}) == 80


def test_sentences_are_equally_many_in_all_languages_of_a_group() -> None:
    counts: dict[str, set[int]] = {}
    for row in ROWS:
        counts.setdefault(row["group"], set()).add(len(row["sentences"]))
    assert all(len(each) == 1 and each <= {4, 5, 6} for each in counts.values())
    assert [sum(item.sentences for item in load_corpus("bundled", code, "test")) for code in LANGUAGES] == [184] * 8


@pytest.mark.parametrize("code", LANGUAGES)
def test_rows_are_in_their_language_and_script(code: str) -> None:
    for row in (row for row in ROWS if row["language"] == code):
        letters = [c for c in text_of(row) if c.isalpha()]
        own = [c for c in letters if re.fullmatch(SCRIPTS[code], c)]
        assert len(own) >= 0.9 * len(letters), (row["group"], "".join(set(letters) - set(own)))
        assert re.search(TELLING[code], text_of(row).lower()), row["group"]


@pytest.mark.parametrize("code", ["zh"])
def test_chinese_is_simplified_and_has_no_kana(code: str) -> None:
    text = "".join(text_of(row) for row in ROWS if row["language"] == code)
    assert not re.search("[ぁ-ゖァ-ヺ們這個說為時來對國學後會過還電車東長門開]", text)


def test_text_is_nfc_on_one_line_and_without_stray_characters() -> None:
    for row in ROWS:
        for sentence in row["sentences"]:
            where = (row["group"], row["language"], sentence)
            assert sentence == unicodedata.normalize("NFC", sentence).strip(), where
            assert not [c for c in sentence if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Cn")], where
            assert "  " not in sentence, where
            assert "\ufffd" not in sentence, where


@pytest.mark.parametrize(
    ("codes", "forbidden"),
    [
        (tuple(LANGUAGES), '["`´„]|\\.\\.\\.'),
        (tuple(LANGUAGES), "'"),
        (("en", "id", "ko", "vi", "zh"), "[«»「」]"),
        (("fr", "es"), "[“”「」]"),
        (("ja",), "[“”«»]"),
        (("ja", "zh"), r"[,;!?] |[、。，；？！「」“”] | [、。，；？！」”]"),
        (("fr",), r"[^\u00a0][;:?!»]|«[^\u00a0]|[ \u202f][;:?!»]"),
        (("en", "id", "ko", "es", "vi"), r"[\u00a0\u202f]"),
    ],
)
def test_punctuation_is_each_languages_own(codes: tuple[str, ...], forbidden: str) -> None:
    found = [
        (row["group"], row["language"], sentence)
        for row in ROWS
        if row["language"] in codes
        for sentence in row["sentences"]
        if re.search(forbidden, sentence)
    ]
    assert not found


@pytest.mark.parametrize("pair", ["“”", "«»", "「」", "『』", "()", "（）", "《》", "〈〉"])
def test_brackets_and_quotation_marks_pair_up(pair: str) -> None:
    for row in ROWS:
        for sentence in row["sentences"]:
            marks = [c for c in sentence if c in pair]
            assert "".join(marks) == pair * (len(marks) // 2), (row["group"], row["language"], sentence)


def test_english_is_spelt_the_british_way() -> None:
    american = (
        r"\b(colors?|harbors?|neighbors?|favor\w*|labor|center|theater|liters?|(kilo|centi)?meters|gray|gotten|"
        r"(recogn|organ|author|colon|moistur)iz\w+|trash|airplane|(Mr|Mrs|Dr)\.)\b"
    )
    found = [
        (row["group"], s) for row in ROWS if row["language"] == "en" for s in row["sentences"] if re.search(american, s)
    ]
    assert not found


def test_ids_are_unique() -> None:
    for code in LANGUAGES:
        items = [*load_corpus("bundled", code, "test"), *load_corpus("bundled", code, "calibration")]
        assert len({item.id for item in items}) == 80


@pytest.mark.parametrize("code", LANGUAGES)
def test_splits_share_no_wording(code: str) -> None:
    # Far stricter than the thirteen words and thirty characters that are reported of other corpora.
    (found,) = overlap(load_corpus("bundled", code, "calibration"), load_corpus("bundled", code, "test"), 7, 14)
    assert found.shared == 0, found.examples


def test_sentences_are_joined_as_the_language_writes() -> None:
    japanese, korean = (load_corpus("bundled", code, "test")[0].text for code in ("ja", "ko"))
    assert " " not in japanese
    assert re.search(r"다\. [가-힣]", korean)
