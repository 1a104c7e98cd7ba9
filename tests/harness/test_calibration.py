from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.calibration import (
    BETWEEN,
    Drawn,
    Pool,
    calibration_label,
    draw_calibration,
    draw_tokens,
    pools,
    sequences_by_language,
    shares,
)
from harness.corpora import load_corpus
from harness.overlap import overlap
from harness.problems import UserError

BOS = 256


@dataclass(frozen=True)
class Spec:
    corpus: str = "bundled"
    sequences: int = 8
    length: int = 512
    languages: dict[str, float] | None = None


def encode(text: str) -> list[int]:
    """Bytes as tokens, begun with BOS as many tokenizers do."""
    return [BOS, *text.encode()]


def text_of(tokens: tuple[int, ...]) -> str:
    return bytes(token for token in tokens if token != BOS).decode(errors="ignore")


def numbered(folder: Path, documents: int, words: int = 20) -> str:
    """A corpus of documents that say their own number, so that repeats can be seen."""
    rows = [{"id": str(n), "split": "calibration", "text": " ".join([f"d{n:03d}"] * words)} for n in range(documents)]
    (folder / "en.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return f"file:{folder}/{{language}}.jsonl"


def numbers(drawn: Drawn) -> set[str]:
    return {word for tokens in drawn.tokens for word in text_of(tokens).split() if len(word) == 4}


def test_sequences_have_one_language_each_begin_with_bos_and_are_equally_long() -> None:
    drawn = draw_tokens(encode, BOS, Spec(languages={"en": 1, "ko": 1}), [])
    assert drawn.languages == ("en",) * 4 + ("ko",) * 4
    assert {len(tokens) for tokens in drawn.tokens} == {512}
    assert all(tokens[0] == BOS and BOS not in tokens[1:] for tokens in drawn.tokens)
    hangul = [max(text_of(tokens)) >= "가" for tokens in drawn.tokens]
    assert hangul == [False] * 4 + [True] * 4


def test_a_tokenizer_without_bos_gives_sequences_without_it() -> None:
    drawn = draw_tokens(lambda text: list(text.encode()), None, Spec(sequences=1, length=40), ["en"])
    assert len(drawn.tokens[0]) == 40
    assert drawn.passages[0].text.encode().startswith(bytes(drawn.tokens[0]))


def test_the_tokens_are_the_passages_joined_by_blank_lines() -> None:
    drawn = draw_tokens(encode, BOS, Spec(sequences=3, length=600), ["en"])
    joined = BETWEEN.join(item.text for item in drawn.passages).encode()
    read = bytes(token for tokens in drawn.tokens for token in tokens if token != BOS)
    assert joined.startswith(read)
    assert len(read) == 3 * 599
    assert len(joined) - len(read) <= len(drawn.passages[-1].text.encode()), "no passage is taken that is not read"


def test_bundled_calibration_reads_the_calibration_split_only() -> None:
    drawn = draw_tokens(encode, BOS, Spec(), ["en", "ko"])
    assert {item.group[3] for item in drawn.passages} == {"c"}
    found = overlap(drawn.passages, [*load_corpus("bundled", "en", "test"), *load_corpus("bundled", "ko", "test")])
    assert [(each.language, each.shared) for each in found] == [("en", 0), ("ko", 0)]


def test_all_languages_read_the_same_groups_first_and_source_languages_take_turns() -> None:
    drawn = draw_tokens(encode, BOS, Spec(sequences=2, length=1200), ["en", "ko"])
    english, korean = ([item.group for item in drawn.passages if item.language == code] for code in ("en", "ko"))
    least = min(len(english), len(korean))
    assert english[:least] == korean[:least]
    assert len({group[:2] for group in english}) == len(english)


def test_draws_share_no_text_and_the_same_draw_is_the_same(tmp_path: Path) -> None:
    spec = Spec(numbered(tmp_path, 60), sequences=3, length=200)
    draws = [draw_tokens(encode, BOS, spec, ["en"], draw) for draw in range(4)]
    for first in range(4):
        for second in range(first):
            assert numbers(draws[first]).isdisjoint(numbers(draws[second]))
    assert draw_tokens(encode, BOS, spec, ["en"], 2) == draws[2]
    assert len({drawn.fingerprint for drawn in draws}) == 4


def test_text_is_never_repeated_within_a_draw(tmp_path: Path) -> None:
    drawn = draw_tokens(encode, BOS, Spec(numbered(tmp_path, 60), sequences=4, length=500), ["en"])
    starts = [item.id for item in drawn.passages]
    assert len(set(starts)) == len(starts)


def test_the_seed_chooses_another_order_and_the_files_order_does_not_matter(tmp_path: Path) -> None:
    spec = Spec(numbered(tmp_path, 30), sequences=2, length=100)
    first = draw_tokens(encode, BOS, spec, ["en"])
    assert draw_tokens(encode, BOS, spec, ["en"], seed=1).fingerprint != first.fingerprint
    path = tmp_path / "en.jsonl"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[::-1]), encoding="utf-8")
    assert draw_tokens(encode, BOS, spec, ["en"]).fingerprint == first.fingerprint


def test_too_little_text_is_told_with_counts(tmp_path: Path) -> None:
    spec = Spec(numbered(tmp_path, 10, words=20), sequences=4, length=101)
    # 10 documents of 99 bytes: three draws would take 1,200.
    with pytest.raises(UserError) as caught:
        draw_tokens(encode, BOS, spec, ["en"], draw=2)
    message = str(caught.value)
    assert "asks for 3 draws of 400 tokens of en text" in message
    assert "holds 990 tokens in 10 passages, and one such draw fits" not in message
    assert "holds 990 tokens in 10 passages, and 2 such draws fit" in message
    assert "never repeated" in message
    with pytest.raises(UserError, match=r"asks for 5,000 tokens of en text, .* 990 tokens .* not even one draw fits"):
        draw_tokens(encode, BOS, Spec(spec.corpus, sequences=50, length=101), ["en"])


def test_pools_say_how_many_draws_fit_and_when_they_are_few(tmp_path: Path) -> None:
    (pool,) = pools(encode, BOS, Spec(numbered(tmp_path, 10), sequences=4, length=101), ["en"])
    assert (pool.tokens, pool.wanted, pool.draws) == (990, 400, 2)
    note = pool.note()
    assert note is not None
    assert "holds 990 tokens and a draw takes 400; disjoint draws that fit: at most 2." in note
    assert Pool("c", "en", 2000, 400).note() is None


def test_weights_become_shares() -> None:
    assert shares(Spec(languages={"en": 3, "ko": 1, "ja": 0}), []) == {"en": 0.75, "ko": 0.25}
    assert shares(Spec(), ["en", "ko"]) == {"en": 0.5, "ko": 0.5}
    for weights in ({"en": -1.0}, {"en": float("nan")}, {"en": float("inf")}):
        with pytest.raises(UserError, match=r"positive numbers, not en = (-1|nan|inf)"):
            shares(Spec(languages=weights), [])
    with pytest.raises(UserError, match="not none at all"):
        shares(Spec(languages={"en": 0.0}), [])


def test_sequences_are_shared_by_largest_remainder() -> None:
    assert sequences_by_language(Spec(sequences=8), ["en", "ko", "ja"]) == {"en": 3, "ko": 3, "ja": 2}
    assert sequences_by_language(Spec(sequences=128, languages={"en": 0.9, "ko": 0.1}), []) == {"en": 115, "ko": 13}
    assert sequences_by_language(Spec(sequences=10, languages={"en": 0.7, "ko": 0.3}), []) == {"en": 7, "ko": 3}


def test_a_language_that_would_get_no_sequence_is_refused_with_a_number_that_works() -> None:
    with pytest.raises(
        UserError, match=r"2 calibration sequences .* 3 languages .* ja would get none\. .* sequences = 3"
    ):
        sequences_by_language(Spec(sequences=2), ["en", "ko", "ja"])
    with pytest.raises(UserError, match=r"ko would get none\. Ask for sequences = 20"):
        sequences_by_language(Spec(sequences=8, languages={"en": 0.95, "ko": 0.05}), [])


@pytest.mark.parametrize(("sequences", "length"), [(0, 512), (8, 1)])
def test_nothing_to_draw_is_refused(sequences: int, length: int) -> None:
    with pytest.raises(UserError, match=f"asks for {sequences} sequences of {length} tokens"):
        draw_tokens(encode, BOS, Spec(sequences=sequences, length=length), ["en"])


def test_labels_are_for_readers() -> None:
    assert calibration_label(Spec(), ["en", "ko"]) == "bundled en:1 ko:1, 4096 tokens"
    assert calibration_label(Spec("c4", 2, 8, {"en": 0.75, "ko": 0.25}), []) == "c4 en:3 ko:1, 16 tokens"


def test_a_method_gets_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    spec = Spec(languages={"en": 0.75, "ko": 0.25})
    calibration = draw_calibration(encode, BOS, spec, [], draw=0, seed=3, cache=tmp_path)
    drawn = draw_tokens(encode, BOS, spec, [], draw=0, seed=3)
    assert calibration.tokens.dtype == torch.int64
    assert calibration.tokens.tolist() == [list(tokens) for tokens in drawn.tokens]
    assert (calibration.languages, dict(calibration.weights)) == (("en",) * 6 + ("ko",) * 2, {"en": 0.75, "ko": 0.25})
    assert (calibration.fingerprint, calibration.label) == (drawn.fingerprint, "bundled en:3 ko:1, 4096 tokens")
    assert (calibration.seed, calibration.cache) == (3, tmp_path)


def test_the_fingerprint_is_of_tokens_and_languages() -> None:
    small = Spec(sequences=2, length=64)
    first = draw_tokens(encode, BOS, small, ["en", "ko"])
    same_tokens_other_bos = draw_tokens(lambda text: encode(text)[1:], BOS, small, ["en", "ko"])
    assert same_tokens_other_bos.fingerprint == first.fingerprint
    assert draw_tokens(encode, BOS, small, ["ko", "en"]).fingerprint != first.fingerprint
    assert draw_tokens(encode, BOS, Spec(sequences=2, length=63), ["en", "ko"]).fingerprint != first.fingerprint
