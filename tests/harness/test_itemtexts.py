"""Items whose words are in the calibration text: found by item, told in their records, and refused where asked."""

from __future__ import annotations

import json

import pytest

from harness.exits import ExitCode
from harness.itemtexts import item_texts
from harness.overlap import overlap
from harness.passages import passage
from harness.problems import UserError

TASK = """
task: toy_en
dataset_path: json
dataset_kwargs: {data_files: {test: toy.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metadata: {version: 1, language: en}
"""
QUESTIONS = [
    "Which of the two rivers is the longer one?",  # nine words: looked for whole
    "Who was it?",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
    "Another question that nobody has ever asked before?",
]
CHOICES = ["It is the river that flows through town.", "no"]


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "toy.yaml").write_text(TASK, encoding="utf-8")
    rows = [{"question": question, "choices": CHOICES, "label": 0} for question in QUESTIONS]
    (tmp_path / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    written = f"They asked: which of the TWO rivers is the longer one? Who was it? Then: {QUESTIONS[2]} and no more."
    (tmp_path / "calibration.txt").write_text(written, encoding="utf-8")
    corpus = f"file:{tmp_path}/calibration.txt"
    return {
        "languages": ["en"],
        "limit": None,
        "method": [
            {"name": "none"},
            {"name": "rtn", "granularity": "row"},
            {"name": "awq", "granularity": "row", "grid": 1, "clip": False},
        ],
        "task": [{"name": "zeroshot", "tasks": "toy_en", "include_path": str(tmp_path)}],
        "calibration": {"corpus": corpus, "sequences": 1, "length": 32, "languages": {"en": 1}},
    }


def test_an_item_is_a_group_of_its_texts_and_a_few_words_say_nothing(tiny_sweep, asked):
    (found,) = item_texts(tiny_sweep.config(**asked)).values()
    assert [(each.group, each.text) for each in found] == [
        ("item 1", QUESTIONS[0]),
        ("item 1", CHOICES[0]),
        ("item 2", CHOICES[0]),
        ("item 3", QUESTIONS[2]),
        ("item 3", CHOICES[0]),
        ("item 4", QUESTIONS[3]),
        ("item 4", CHOICES[0]),
    ]
    (fewer,) = item_texts(tiny_sweep.config(**{**asked, "limit": 2})).values()
    assert fewer == found[:3]


def test_items_are_counted_once_however_many_of_their_texts_are_shared():
    texts = [passage("a b c d e f g", "item 1", "en"), passage("h i j k l m n", "item 1", "en")]
    (found,) = overlap([passage("a b c d e f g h i j k l m n", "c", "en")], texts, what="items")
    assert (found.passages, found.shared) == (1, 1)
    assert found.sentence == (
        "en: 1 of 1 test items share 13 words or more in a row, or a whole text, with the calibration text, such as "
        "'item 1: a b c d e f g'."
    )


def test_items_in_the_calibration_text_are_told_or_refused(tiny_sweep, asked, tmp_path):
    told = (
        "en: 2 of 4 test items share 13 words or more in a row, or a whole text, with the calibration text, such as "
        "'item 1: which of the two rivers is the longer one'."
    )
    with pytest.raises(UserError) as refused:
        tiny_sweep(**asked, overlap="refuse")
    assert str(refused.value) == f'{told} The sweep says overlap = "refuse", so nothing is measured.'
    assert not (tmp_path / "run" / "records.jsonl").exists()
    assert tiny_sweep(**asked) == ExitCode.OK
    notes = {key[0]: record.notes.get("overlap") for key, record in tiny_sweep.records().items()}
    assert notes == {"none": None, "rtn": None, "awq": told}


def test_another_word_than_report_or_refuse_is_refused(tiny_sweep, asked):
    with pytest.raises(UserError, match=r"overlap is 'refused', but must be .*report.*refuse"):
        tiny_sweep.config(**asked, overlap="refused")
