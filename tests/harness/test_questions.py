"""Which questions are asked in which language, and what is refused before anything is computed."""

from __future__ import annotations

import doctest
import json
import tomllib

import pytest

from harness import questions
from harness.config import parse_config
from harness.problems import UserError
from harness.questions import asked, fingerprint, sample_id

REFUSED = [
    ({"temperature": "hot"}, "answers: temperature is 'hot', but must be greedy or category."),
    ({"template": "chatml"}, "answers: template is 'chatml', but must be auto or chat or plain."),
    ({"max_new_tokens": 0}, "answers: max_new_tokens is 0, but must be 1 or more."),
    ({"limit": 0}, "answers: limit is 0, but must be 1 or more."),
    ({"questions": "bundld"}, "There is no question set 'bundld'. Did you mean 'bundled'?"),
    (
        {"questions": "komt_bench"},
        "komt_bench is in 'ko', not in 'en'. Name a set for each language: questions = { ko = 'komt_bench', ... }.",
    ),
    ({"questions": {"en": "mt_bench", "ko": "mt_bench"}}, "mt_bench is in 'en', not in 'ko'."),
    ({"questions": "file:mine"}, "'file:mine' would be asked in en and ko alike. Put {language} where"),
    ({"questions": "file:none/{language}"}, "answers: none/en cannot be read: No such file or directory."),
]


def parsed(languages=("en", "ko"), **answers):
    tables = {"method": [{"name": "none"}], "task": [{"name": "answers", **answers}]}
    return parse_config({"languages": list(languages), **tables}, "test")


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(questions).failed == 0


@pytest.mark.parametrize(("params", "said"), REFUSED)
def test_what_is_refused(params, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        parsed(**params)
    assert said in str(refused.value)


def test_a_language_without_questions_is_named():
    with pytest.raises(UserError, match="The bundled questions are not in 'th'; they are in en, es, fr"):
        parsed(("en", "th"))


def test_sets_by_language_survive_the_copy_of_the_sweep_file():
    from harness.config import to_toml

    config = parsed(questions={"en": "mt_bench", "ko": "komt_bench"}, max_new_tokens=64)
    assert config.tasks[0].params["questions"] == "en=mt_bench,ko=komt_bench"
    assert parse_config(tomllib.loads(to_toml(config)), "again").tasks == config.tasks


def test_the_fingerprint_is_of_all_that_is_asked_and_judged():
    whole, six = asked("bundled", "ko"), asked("bundled", "ko", 6)
    assert (len(whole), len(six)) == (24, 6)
    assert six == whole[:6]
    digests = {fingerprint(of) for of in (whole, six, asked("bundled", "en", 6), six[::-1])}
    assert len(digests) == 4
    ids = [sample_id(question) for code in ("en", "ko") for question in asked("bundled", code)]
    assert len(set(ids)) == 48


def test_twins_and_nothing(tmp_path):
    row = {"question_id": 81, "category": "writing", "turns": ["Why?", "And?"]}
    file = tmp_path / "question.jsonl"
    file.write_text(f"{json.dumps(row)}\n" * 2, encoding="utf-8")
    with pytest.raises(UserError, match="has question 81 twice in 'en'; each id belongs to one question"):
        asked(f"file:{tmp_path}", "en")
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no question in 'en'"):
        asked(f"file:{tmp_path}", "en")
