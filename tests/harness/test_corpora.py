from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from harness import hubtexts
from harness.corpora import check_corpus, fingerprint, load_corpus, passage, select, shared
from harness.filetexts import split_of
from harness.languages import LANGUAGES
from harness.problems import UserError

EIGHT = tuple(LANGUAGES)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


# ---- bundled


def test_bundled_has_the_same_groups_in_all_languages_and_forty_of_them_in_each_split() -> None:
    for split in ("test", "calibration"):
        groups = [[item.group for item in load_corpus("bundled", code, split)] for code in EIGHT]
        assert all(each == groups[0] for each in groups)
        assert len(set(groups[0])) == 40


def test_limit_takes_turns_between_source_languages() -> None:
    items = load_corpus("bundled", "ko", "test")
    assert [item.source_language for item in select(items, 3)] == ["en", "ko", "ja"]
    assert sorted(item.source_language or "" for item in select(items, 16)) == sorted([*EIGHT, *EIGHT])
    assert {item.group for item in select(items, 16)} == {f"{code}-t{n}" for code in EIGHT for n in (1, 2)}
    assert len(select(items, None)) == 40
    assert len(select(items, None, per_source=2)) == 16


def test_select_keeps_the_order_of_texts_of_unknown_source() -> None:
    items = [passage(f"text {n}", str(n), "en") for n in range(5)]
    assert [item.group for item in select(items, 3)] == ["0", "1", "2"]
    assert select([], 3) == ()


def test_ids_hash_the_nfc_text_and_fingerprints_hold_order_and_groups() -> None:
    composed, decomposed = passage("\uac01", "1", "ko"), passage("\u1100\u1161\u11a8", "1", "ko")
    assert composed == decomposed
    assert len(composed.id) == 16
    other = passage("\uac01", "2", "ko")
    assert len({fingerprint(each) for each in ([composed], [other], [composed, other], [other, composed])}) == 4


def test_unknown_split_is_a_developers_mistake() -> None:
    with pytest.raises(ValueError, match="'train'"):
        load_corpus("bundled", "en", "train")


# ---- names and languages


def test_an_unknown_corpus_names_the_nearest() -> None:
    (problem,) = check_corpus("wikitext", ["en"])
    assert "There is no corpus 'wikitext'. Did you mean 'wikitext2'?" in problem
    assert "file:texts/{language}.txt" in problem


@pytest.mark.parametrize(
    ("name", "languages", "words"),
    [
        ("bundled", ["en", "th", "ar"], ["'bundled' has no th and ar", "en, ko, ja, zh, fr, es, vi and id"]),
        ("ptb", ["ko"], ["'ptb' has no ko; it has en"]),
        ("wikitext2", ["en", "ko"], ["'wikitext2' has no ko; it has en"]),
        ("wikipedia:ko", ["en", "ko"], ["'wikipedia:ko' has no en; it has ko", "'wikipedia' alone"]),
        ("c4:ko", ["en"], ["'c4:ko' has no en; it has ko", "'c4' alone"]),
        ("ptb:x", ["en"], ["no corpus 'ptb:x'", "Did you mean 'ptb'?"]),
        ("wikitext2:nowhere.txt", ["en"], ["no file 'nowhere.txt'"]),
    ],
)
def test_a_corpus_without_a_language_lists_those_it_has(name: str, languages: list[str], words: list[str]) -> None:
    (problem,) = check_corpus(name, languages)
    assert all(each in problem for each in words), problem
    with pytest.raises(UserError):
        load_corpus(name, next(code for code in languages if check_corpus(name, [code])), "test")


def test_good_names_are_passed() -> None:
    assert not check_corpus("bundled", EIGHT)
    assert not check_corpus("c4", ["ko", "sw"])
    assert not check_corpus("wikipedia", ["ko", "sw"])
    assert not check_corpus("wikipedia:ko", ["ko"])


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.corpora import check_corpus; import harness.calibration, harness.overlap\n"
        "check_corpus('c4', ['ko']); check_corpus('bundled', ['ko']); check_corpus('file:x.txt', ['ko'])\n"
        "print([m for m in ('torch', 'numpy', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_corpus_is_shared_when_both_purposes_name_it() -> None:
    assert shared("wikipedia:ko", ["bundled", "wikipedia"])
    assert shared("file:a/{language}.txt", ["file:a/{language}.txt"])
    assert not shared("file:a/{language}.txt", ["file:b/{language}.txt", "bundled"])


# ---- text files


def test_a_text_file_holds_documents_between_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "ko.txt").write_text(
        "\ufeff첫 글\n둘째 줄\r\n\r\n  \n둘째 글\n\n\n\n셋째 글\n", encoding="utf-8", newline=""
    )
    items = load_corpus(f"file:{tmp_path}/{{language}}.txt", "ko", "test", shared=False)
    assert [item.text for item in items] == ["첫 글\n둘째 줄", "둘째 글", "셋째 글"]
    assert [item.group for item in items] == ["ko/1", "ko/2", "ko/3"], "unlike texts are never paired"
    assert {(item.sentences, item.source_language, item.language) for item in items} == {(1, None, "ko")}


def test_a_shared_file_is_divided_by_a_hash_of_ids_never_by_position(tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": f"document number {n}"} for n in range(200)]
    name = f"file:{write_rows(tmp_path / 'en.jsonl', rows)}"
    test, calibration = (load_corpus(name, "en", split) for split in ("test", "calibration"))
    assert {item.id for item in test}.isdisjoint(item.id for item in calibration)
    assert len(test) + len(calibration) == 200
    assert 70 < len(test) < 130
    write_rows(tmp_path / "en.jsonl", rows[::-1])
    assert {item.id for item in load_corpus(name, "en", "test")} == {item.id for item in test}


def test_a_file_of_its_own_is_read_whole(tmp_path: Path) -> None:
    name = f"file:{write_rows(tmp_path / 'en.jsonl', [{'text': f'text {n}'} for n in range(9)])}"
    assert len(load_corpus(name, "en", "test", shared=False)) == 9


def test_split_in_the_name_chooses_the_file(tmp_path: Path) -> None:
    for split in ("test", "calibration"):
        (tmp_path / f"{split}.en.txt").write_text(f"{split} text\n", encoding="utf-8")
    name = f"file:{tmp_path}/{{split}}.{{language}}.txt"
    assert [load_corpus(name, "en", split)[0].text for split in ("test", "calibration")] == [
        "test text",
        "calibration text",
    ]
    (tmp_path / "calibration.en.txt").unlink()
    (problem,) = check_corpus(name, ["en"])
    assert "There is no file" in problem
    assert "calibration.en.txt'" in problem


def test_parallel_lines_are_aligned_sentences_if_equally_many(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("One.\nTwo.\n\nThree.\n", encoding="utf-8")
    (tmp_path / "ja.txt").write_text("一。\n二。\n\n三。\n", encoding="utf-8")
    name = f"file:{tmp_path}/{{language}}.txt"
    english, japanese = (load_corpus(name, code, "test", shared=False, parallel=("en", "ja")) for code in ("en", "ja"))
    assert [(item.group, item.text, item.sentences) for item in english] == [("1", "One. Two.", 2), ("2", "Three.", 1)]
    assert [(item.group, item.text, item.sentences) for item in japanese] == [("1", "一。二。", 2), ("2", "三。", 1)]


def test_parallel_documents_of_unequal_lines_are_units(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("One.\nTwo.\n\nThree.\n", encoding="utf-8")
    (tmp_path / "ja.txt").write_text("一、二。\n\n三。\n", encoding="utf-8")
    name = f"file:{tmp_path}/{{language}}.txt"
    items = load_corpus(name, "en", "test", shared=False, parallel=("en", "ja"))
    assert [(item.text, item.sentences) for item in items] == [("One.\nTwo.", 1), ("Three.", 1)]


def test_parallel_names_the_first_missing_document(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("One.\n\nTwo.\n\nThree.\n", encoding="utf-8")
    (tmp_path / "ko.txt").write_text("하나.\n\n둘.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"not parallel: ko lacks the document '3' \(documents: en 3, ko 2\)"):
        load_corpus(f"file:{tmp_path}/{{language}}.txt", "en", "test", parallel=("en", "ko"))


# ---- rows


def test_rows_may_tell_everything(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"canary": "none of the text"},
        {
            "id": "a",
            "group": "g1",
            "language": "en",
            "split": "test",
            "sentences": ["A.", "B."],
            "source_language": "ko",
        },
        {
            "id": "a",
            "group": "g1",
            "language": "zh",
            "split": "test",
            "sentences": ["甲。", "乙。"],
            "source_language": "ko",
        },
        {"id": "b", "language": "en", "split": "calibration", "text": "C.", "sentences": 1},
    ]
    name = f"file:{write_rows(tmp_path / 'all.jsonl', rows)}"
    (english,) = load_corpus(name, "en", "test")
    (chinese,) = load_corpus(name, "zh", "test")
    assert (english.text, chinese.text) == ("A. B.", "甲。乙。")
    assert (english.group, english.sentences, english.source_language) == ("g1", 2, "ko")
    assert load_corpus(name, "en", "calibration")[0].text == "C."
    assert check_corpus(name, ["en", "zh"]) == []
    assert check_corpus(name, ["ko"]) == [f"The corpus '{name}' has no ko; it has en and zh."]
    with pytest.raises(UserError, match="no calibration text in zh: its 1 documents there are all test"):
        load_corpus(name, "zh", "calibration")


def test_sentences_that_rows_count_must_agree_when_parallel(tmp_path: Path) -> None:
    write_rows(tmp_path / "en.jsonl", [{"id": "7", "sentences": ["A.", "B."]}])
    write_rows(tmp_path / "ko.jsonl", [{"id": "7", "sentences": ["가."]}])
    with pytest.raises(UserError, match=r"'7' .* unequal numbers of sentences \(en 2, ko 1\)"):
        load_corpus(f"file:{tmp_path}/{{language}}.jsonl", "en", "test", shared=False, parallel=("en", "ko"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a"', ["line 1", "is not JSON"]),
        ("[1]", ["line 1", "no JSON object but [1]"]),
        ('{"txt": "a"}', ["row 1, has no text: it has txt", "'text'"]),
        ('{"text": " "}', ["row 1, has no text"]),
        ('{"text": "a", "split": "tset"}', ["split 'tset'", "calibration and test", "Did you mean 'test'?"]),
        ('{"text": "a", "id": 1}\n{"text": "b", "id": 1}', ["two rows with the id '1' in en"]),
    ],
)
def test_rows_that_cannot_be_read_are_told_by_place(tmp_path: Path, line: str, words: list[str]) -> None:
    (tmp_path / "x.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_corpus(f"file:{tmp_path}/x.jsonl", "en", "test", shared=False)
    assert all(each in str(caught.value) for each in words), caught.value


def test_a_file_that_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ko.txt").write_bytes("한국어".encode("euc-kr"))
    with pytest.raises(UserError, match=r"ko.txt is not UTF-8 \(byte 0"):
        load_corpus(f"file:{tmp_path}/{{language}}.txt", "ko", "test")


def test_an_empty_file_is_no_test_text(tmp_path: Path) -> None:
    (tmp_path / "ko.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"no test text in ko: .* holds no document"):
        load_corpus(f"file:{tmp_path}/{{language}}.txt", "ko", "test")


# ---- files that are not there


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("text", encoding="utf-8")
    (problem,) = check_corpus(f"file:{tmp_path}/text.txt", ["en"])
    assert problem == f"There is no file '{tmp_path}/text.txt'. Did you mean 'texts.txt'? In that folder: texts.txt."


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    (problem,) = check_corpus(f"file:{tmp_path}/none/{{language}}.txt", ["en", "ko"])
    assert f"There is no folder '{tmp_path}/none'" in problem


def test_a_missing_language_lists_those_there_are(tmp_path: Path) -> None:
    for code in ("en", "ko"):
        (tmp_path / f"news.{code}.txt").write_text("text", encoding="utf-8")
    name = f"file:{tmp_path}/news.{{language}}.txt"
    assert check_corpus(name, ["en", "ja", "th"]) == [
        f"The corpus '{name}' has no ja and th; it has en and ko (in {tmp_path})."
    ]
    with pytest.raises(UserError, match="has no ja; it has en and ko"):
        load_corpus(name, "ja", "test")


def test_one_file_for_several_languages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    (problem,) = check_corpus(f"file:{tmp_path}/a.txt", ["en", "ko"])
    assert "read for each of en and ko: put {language} into its name" in problem
    assert check_corpus(f"file:{tmp_path}/a.txt", ["en"]) == []


def test_other_file_kinds_are_refused(tmp_path: Path) -> None:
    (problem,) = check_corpus(f"file:{tmp_path}/a.csv", ["en"])
    assert "ends in '.csv', and allowed are .jsonl and .txt" in problem


# ---- the hub


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple]:
    asked: list[tuple] = []
    hubtexts.load.cache_clear()

    def load_dataset(path: str, config: str | None, *, split: str, revision: str | None, streaming: bool) -> Any:
        asked.append((path, config, split, revision, streaming))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return asked


WIKITEXT = [
    "",
    " = First = \n",
    "",
    " Some text . \n",
    " = = Part = = \n",
    "",
    " More . \n",
    "",
    " = Second = \n",
    "",
    " End . \n",
]


def test_wikitext2_is_articles_whose_join_is_the_published_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, [{"text": line} for line in WIKITEXT])
    items = load_corpus("wikitext2", "en", "test")
    assert "\n\n".join(item.text for item in items) == "\n\n".join(WIKITEXT)
    assert [item.text.strip().splitlines()[0] for item in items] == ["= First = ", "= Second = "]
    load_corpus("wikitext2", "en", "calibration")
    assert [each[:3] for each in asked] == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "test"),
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "train"),
    ]


def test_wikitext2_may_be_a_raw_file(tmp_path: Path) -> None:
    raw = tmp_path / "wiki.test.raw"
    raw.write_text("".join(line or " \n" for line in WIKITEXT), encoding="utf-8")
    items = load_corpus(f"wikitext2:{raw}", "en", "test", shared=False)
    assert "\n\n".join(item.text for item in items) == "\n\n".join(WIKITEXT)


def test_ptb_comes_from_the_converted_branch_in_blocks_of_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, [{"sentence": f"s {n}"} for n in range(120)])
    items = load_corpus("ptb", "en", "test")
    assert [item.sentences for item in items] == [50, 50, 20]
    assert "\n\n".join(item.text for item in items) == "\n\n".join(f"s {n}" for n in range(120))
    assert asked == [("ptb-text-only/ptb_text_only", None, "test", "refs/convert/parquet", False)]


def test_c4_streams_the_language_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, ({"text": f"쪽 {n}"} for n in range(10**9)))
    monkeypatch.setitem(hubtexts.DOCUMENTS, "test", 5)
    assert [item.group for item in load_corpus("c4", "ko", "test")] == [f"ko/{n}" for n in range(1, 6)]
    assert asked == [("allenai/c4", "ko", "validation", None, True)]


def test_wikipedia_has_one_split_which_is_divided_by_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, [{"id": str(n), "text": f"문서 {n}"} for n in range(60)])
    test, calibration = (load_corpus("wikipedia:ko", "ko", split) for split in ("test", "calibration"))
    assert {item.id for item in test}.isdisjoint(item.id for item in calibration)
    assert len(test) + len(calibration) == 60
    assert all(split_of(item.group.removeprefix("ko/")) == "test" for item in test)
    assert asked[0] == ("wikimedia/wikipedia", "20231101.ko", "train", None, True)


def test_a_hub_out_of_reach_is_a_sentence_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, ConnectionError("Couldn't reach 'allenai/c4' on the Hub\nand a long tail"))
    with pytest.raises(UserError) as caught:
        load_corpus("c4", "ko", "test")
    message = str(caught.value)
    assert "'c4' could not be fetched (allenai/c4, ko): Couldn't reach 'allenai/c4' on the Hub. Connect" in message
    assert "file:texts/{language}.txt" in message
    assert "long tail" not in message


def test_a_stream_that_breaks_while_it_is_read_is_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        yield {"text": "one"}
        raise OSError

    fake_hub(monkeypatch, broken())
    with pytest.raises(UserError, match=r"'c4' could not be fetched \(allenai/c4\): OSError\. Connect"):
        load_corpus("c4", "en", "test")


def test_a_missing_library_is_told_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="pip install datasets"):
        load_corpus("c4", "en", "test")
