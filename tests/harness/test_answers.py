"""The task `answers`: what it asks, what it tells of each answer, what it keeps, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness import answers
from harness.tasks import all_tasks
from judges.questions import Question
from results.conversation import Conversation
from results.metric import METRICS

PARAMS = {name: default for name, (default, _) in all_tasks()["answers"].fields.items()}
LONG = "Dieser Garten ist sehr alt und gehört seit hundert Jahren einer Familie, die ihn gerne mag."
ENGLISH = "This garden is very old and has belonged for a hundred years to a family that likes it well."
KOREAN = "이 정원은 아주 오래되었고 백 년 전부터 정원을 아끼는 한 가족이 가꾸어 왔습니다."


def measured(lm, folder=None, language="en", limit=3, **params):
    return answers.measure(lm, {**PARAMS, "max_new_tokens": 12, **params}, language, limit, folder)


@pytest.fixture
def lm(tiny_lm):
    return tiny_lm(max_position_embeddings=4096)


@pytest.fixture
def counted(monkeypatch):
    """How many prompts were really written on, batch by batch."""
    from harness import generation

    rows, real = [], generation._written
    monkeypatch.setattr(generation, "_written", lambda lm, of: (rows.append(len(of)), real(lm, of))[1])
    return rows


def test_what_comes_out(lm):
    found = measured(lm)
    assert [one.question for one in found.conversations] == ["en-q1", "en-q2", "en-q3"]
    assert [sample.group for sample in found.samples] == ["en-q1", "en-q2", "en-q3"]
    for sample, one in zip(found.samples, found.conversations, strict=True):
        assert sample.quantities["answers"] == 2
        assert sample.quantities["tokens"] == sum(one.tokens)
        assert sample.quantities["truncated"] == one.stops.count("length")
    assert set(found.estimates) == {*answers.RATES, "tokens_per_answer"} <= set(METRICS)
    cut = found.estimates["truncated"]
    assert (cut.clusters, cut.n) == (3, 6)
    assert found.notes["template"] == 'plain: "Question: ...\\nAnswer:"'
    assert found.notes["decoding"] == "greedy"
    assert found.notes["ending"].startswith('at most 12 tokens; ends at token 1 or before "\\nQuestion:"')
    korean = measured(lm, language="ko")
    assert [s.group for s in korean.samples] == [s.group for s in found.samples]
    assert not {s.id for s in korean.samples} & {s.id for s in found.samples}


def test_the_second_turn_follows_the_first_answer(lm, monkeypatch):
    from harness import generation

    asked = []

    def write(lm, requests, finished, most_rows, needed):
        asked.append([lm.tokenizer.decode(request.ids, skip_special_tokens=True) for request in requests])
        for place in range(len(requests)):
            finished(place, generation.Written(f"own answer {place}", "end", 3))

    monkeypatch.setattr(generation, "write", write)
    found = measured(lm)
    first, second = asked
    for place in range(3):
        assert second[place].startswith(f"{first[place]} own answer {place}Question: ")  # line ends are <unk> here
        assert second[place].endswith("Answer:")
        assert found.conversations[place].turns == (f"own answer {place}",) * 2


def test_what_was_written_is_not_written_again(lm, counted, tmp_path):
    first = measured(lm, tmp_path)
    assert counted == [3, 3]  # two turns
    assert measured(lm, tmp_path) == first
    assert len(counted) == 2
    more = measured(lm, tmp_path, limit=4)
    assert counted[2:] == [4, 4], "a batch is written whole, as if nothing had been written before"
    assert more.conversations[:3] == first.conversations
    measured(lm, tmp_path, max_new_tokens=11)
    assert counted[4] == 3
    measured(lm, tmp_path, temperature="category", limit=1)
    assert counted[6:] == [1, 1]
    measured(lm, tmp_path, temperature="category", limit=1, seed=1)
    assert counted[8:] == [1, 1]


def test_several_cells_are_answered_in_common_batches(lm, counted, tmp_path):
    """Korean and English end at other labels; a set that cannot be asked costs the others nothing."""
    params = {**PARAMS, "max_new_tokens": 12}
    alone = [measured(lm, language=language, limit=2) for language in ("en", "ko")]
    del counted[:]
    sets = [(params, "en", 2), ({**params, "template": "chat"}, "en", 2), (params, "qaa", 2), (params, "ko", 2)]
    answers.write_ahead(lm, sets, tmp_path)
    assert counted == [4, 4]
    assert [measured(lm, tmp_path, language, 2) for language in ("en", "ko")] == alone
    assert len(counted) == 2


def test_an_interrupted_batch_is_written_again_as_a_whole(lm, counted, tmp_path, monkeypatch):
    """Stopped after the second answer of the second turn, and one of the first turn damaged: both in the same shape."""
    whole, real, kept = measured(lm), answers.replace, []

    def broken(path, content):
        if len(kept) == 5:
            raise KeyboardInterrupt
        real(path, content)
        kept.append(path)

    monkeypatch.setattr(answers, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        measured(lm, tmp_path)
    monkeypatch.setattr(answers, "replace", real)
    kept[0].write_text("{", encoding="utf-8")
    del counted[:]
    assert measured(lm, tmp_path) == whole
    assert counted == [3, 3]


def test_greedy_answers_take_no_seed_and_drawn_ones_do(lm):
    assert measured(lm, seed=1).conversations == measured(lm).conversations
    drawn = [measured(lm, temperature="category", seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0].conversations != drawn[2].conversations
    alone = measured(lm, temperature="category", limit=1)
    assert alone.conversations == drawn[0].conversations[:1], "an answer does not depend on its neighbours"
    assert drawn[0].notes["decoding"] == "by category, seed 0"


def test_greedy_answers_of_another_seed_are_written_in_other_batches(lm, monkeypatch, tmp_path):
    from harness import generation

    rows, real = [], generation._written
    monkeypatch.setattr(generation, "_written", lambda lm, of: (rows.append(len(of)), real(lm, of))[1])
    measured(lm, tmp_path, limit=4)
    measured(lm, tmp_path, limit=4, seed=1)
    assert rows == [4, 4, 2, 2, 2, 2]  # two turns each
    measured(lm, tmp_path, limit=4, seed=1)
    assert len(rows) == 6


def test_published_temperatures():
    """Of lm-sys/FastChat, fastchat/llm_judge/common.py."""
    found = {category: answers.temperature_of(category, "category") for category in (*answers.TEMPERATURES, "arena")}
    assert found == {
        **{"writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0},
        **{"stem": 0.1, "humanities": 0.1, "arena": 0.7},
    }


def test_a_window_that_is_too_small_is_told_and_nothing_is_cut(tiny_lm):
    """Tokens are characters: the first prompts of 198 to 252 leave little of 256, the second ones nothing."""
    found = measured(tiny_lm(max_position_embeddings=256), max_new_tokens=40)
    rooms = [one.tokens for one in found.conversations]
    assert all(first <= 40 and second == 0 for first, second in rooms)
    assert any(first < 40 for first, _ in rooms)
    assert found.estimates["empty"].value >= 0.5
    assert all(one.stops[1] == "length" for one in found.conversations)
    assert "had room for less than 40 tokens: the model reads 256 at once" in found.notes["short_of_room"]
    assert "en-q1 turn 2" in found.notes["short_of_room"]


def rated(*texts, number="q", language="ko", asks=("무엇입니까?", "왜요?"), stops=None):
    question = Question(number, number, "writing", asks, None, language)
    stops = stops or ("end",) * len(texts)
    return answers._rated(question, Conversation(number, texts, stops, (5,) * len(texts)), {})


def test_what_is_told_of_an_answer():
    first, second = rated(ENGLISH, KOREAN, stops=("length", "end"))
    assert (first["wrong_language"], first["truncated"]) == (1, 1)
    assert (second["wrong_language"], second["truncated"], second["empty"], second["looped"]) == (0, 0, 0, 0)
    first, second = rated(KOREAN + " Это сад и он стар.", "   ")
    assert first["mixed_script"] == 1
    assert (second["empty"], second["undetermined"], second["wrong_language"]) == (1, 1, 0)
    first, second = rated(KOREAN + " Это сад и он стар.", "네. " * 30, asks=("「Это сад」?", "?"))
    assert first["mixed_script"] == 0, "a script of the question is not foreign"
    assert second["looped"] == 1


def test_answers_that_have_no_language_are_not_rated():
    exempt = rated(ENGLISH, ENGLISH, number="138")
    assert all("wrong_language" not in of for of in exempt)
    question = Question("138", "138", "extraction", ("a?", "b?"), None, "ko")
    found = answers._estimates([question], [exempt])
    assert "wrong_language" not in found
    assert found["truncated"].method == "exact"
    assert "rated" not in rated(LONG, LONG, language="qaa")[0], "a language that py3langid does not know"


def test_shares_are_clustered_by_question():
    questions = [Question(str(i), str(i), "writing", ("a?", "b?"), None, "ko") for i in range(8)]
    turns = [rated(ENGLISH, ENGLISH), *[rated(KOREAN, KOREAN)] * 7]
    found = answers._estimates(questions, turns)
    wrong = found["wrong_language"]
    assert (wrong.value, wrong.clusters, wrong.n, wrong.df) == (0.125, 8, 16, 7)
    assert wrong.low == 0
    assert wrong.high == pytest.approx(0.125 + 2.364624 * 0.125)  # t(7), and 0.125 = SD of the questions over root 8
    assert found["empty"].high == pytest.approx(1 - 0.025**0.125)


def test_a_run_keeps_the_answers_of_every_variant(tiny_sweep, tmp_path):
    """Through the sweep: cells by language, conversations beside the records, and nothing asked twice."""
    from results.store import Run

    task = {"name": "answers", "questions": {"en": "bundled"}, "limit": 2, "max_new_tokens": 5}
    given = tmp_path / "model"
    import shutil

    shutil.copytree(tiny_sweep.folder("llama", max_position_embeddings=4096), given)
    tiny_sweep(models=[str(given)], task=[task])
    run = Run.open(tmp_path / "run")
    records = run.records()
    assert [(it.cell.variant.method, it.cell.language, it.cell.limit, it.status) for it in records] == [
        ("none", "en", 2, "ok"),
        ("rtn", "en", 2, "ok"),
    ]
    for record in records:
        assert record.cell.params["questions"] == "bundled"
        assert len(record.cell.text) == 32
        told = run.conversations(record.cell.key)
        assert [one.question for one in told] == ["en-q1", "en-q2"]
        assert len(run.samples(record.cell.key)) == 2
        assert len(list((tmp_path / "cache" / "responses" / record.artifact).glob("*.json"))) == 4
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    tiny_sweep(models=[str(given)], task=[{**task, "questions": "bundled"}], languages=["en"])
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before, "the same questions are the same cells"
    (tmp_path / "run" / "answers").rename(tmp_path / "lost")
    tiny_sweep(models=[str(given)], task=[task])
    assert Run.open(tmp_path / "run").conversations(records[0].cell.key) == run_conversations(tmp_path, records[0])


def run_conversations(tmp_path, record):
    path = tmp_path / "lost" / record.cell.key[:2] / f"{record.cell.key}.jsonl"
    return [Conversation.from_json(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def test_a_plan_says_who_is_asked_nothing(tiny_sweep):
    from harness.facts import look
    from harness.plan import make_plan

    config = tiny_sweep.config(languages=["en", "ko"], task=[{"name": "answers", "questions": {"ko": "bundled"}}])
    plan = make_plan(config, look(config, tiny_sweep.path / "cache").facts)
    assert plan.notes == ("`answers` asks nothing in en: its questions are named for ko.",)
    assert {(cell.task, cell.language, cell.limit) for cell in plan.cells} == {("answers", "ko", 2)}, (
        "the sweep's limit"
    )
    whole = replace(config, limit=None)
    assert {cell.limit for cell in make_plan(whole, look(whole, tiny_sweep.path / "cache").facts).cells} == {24}
