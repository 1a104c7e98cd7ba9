from __future__ import annotations

from harness.overlap import overlap
from harness.passages import passage

NUMBERS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
WORDS = NUMBERS.split()


def test_thirteen_words_in_a_row_are_found_whatever_their_case_and_punctuation() -> None:
    calibration = [
        passage("Before it. One, two -- THREE four five six seven eight nine ten eleven twelve thirteen!", "c", "en")
    ]
    test = [passage("zero " + " ".join(WORDS), "t1", "en"), passage(" ".join(WORDS[2:]), "t2", "en")]
    (found,) = overlap(calibration, test)
    assert (found.language, found.passages, found.shared, found.n, found.unit) == ("en", 2, 1, 13, "words")
    assert found.examples == ("t1: " + " ".join(WORDS[:13]),)
    assert found.sentence == (
        "en: 1 of 2 test passages share 13 words or more in a row with the calibration text, "
        f"such as 't1: {' '.join(WORDS[:13])}'."
    )


def test_twelve_words_are_not_enough() -> None:
    (found,) = overlap([passage(" ".join(WORDS[:12]), "c", "en")], [passage(" ".join(WORDS), "t", "en")])
    assert found.shared == 0
    assert found.sentence == "en: no 13 words in a row are shared by calibration and test text."


def test_languages_without_spaces_are_compared_by_characters() -> None:
    shared = "春はあけぼのやうやう白くなりゆく山ぎは少し明かりて紫だちたる雲の細くたなびきたる"
    (found,) = overlap([passage("あ、" + shared, "c", "ja")], [passage(shared + "。終わり", "t", "ja")])
    assert (found.shared, found.unit, found.n) == (1, "characters", 30)
    assert found.examples == ("t: " + shared[:30],)
    (other,) = overlap([passage(shared[:29], "c", "ja")], [passage(shared, "t", "ja")])
    assert other.shared == 0


def test_a_passage_shorter_than_the_ngram_is_looked_for_whole() -> None:
    short = passage("Once upon a time.", "t", "en")
    (found,) = overlap([passage("It was once upon a time, they say.", "c", "en")], [short])
    assert found.examples == ("t: once upon a time",)
    (other,) = overlap([passage("Once upon a hill.", "c", "en")], [short])
    assert other.shared == 0


def test_languages_are_never_compared_with_each_other() -> None:
    text = " ".join(WORDS)
    assert overlap([passage(text, "c", "en")], [passage(text, "t", "fr")]) == ()


def test_combining_marks_stay_in_their_word() -> None:
    hindi = "हिन्दी में लिखा गया यह वाक्य काफ़ी लंबा है ताकि तेरह शब्द पूरे हो जाएँ"
    (found,) = overlap([passage(hindi, "c", "hi")], [passage(hindi, "t", "hi")])
    assert found.examples[0].startswith("t: हिन्दी में लिखा")


def test_a_text_without_words_shares_nothing() -> None:
    (found,) = overlap([passage("...", "c", "en")], [passage("?!", "t", "en")])
    assert found.shared == 0
