"""Items of one's own on a tiny model: samples, estimates, what is told of a record, and mistakes."""

from __future__ import annotations

import json
import math

import pytest

from harness import tasks, zeroshot
from harness.config import parse_config
from harness.history import works
from harness.plan import MOST_AGAIN, Facts, ItemFacts, ModelFacts, items_key, make_plan
from harness.problems import Unavailable, UserError

FIELDS = tasks.all_tasks()["zeroshot"].fields
TASK = """
task: toy_en
dataset_path: json
dataset_kwargs:
  data_files:
    test: toy.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
  - metric: acc_norm
metadata:
  version: 3
  language: en
  group: [page, place]
"""
ROWS = [
    {
        "question": f"Question {n}?",
        "choices": ["yes", "certainly not", "no"],
        "label": n % 3,
        "page": n // 2,
        "place": n,
    }
    for n in range(6)
]


@pytest.fixture
def toy(tmp_path):
    """``toy(yaml changes, rows)``: the parameters of a task of one's own."""

    def write(old="", new="", rows=ROWS, **params):
        (tmp_path / "toy.yaml").write_text(TASK.replace(old, new) if old else TASK, encoding="utf-8")
        (tmp_path / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        defaults = {name: default for name, (default, _) in FIELDS.items()}
        return {**defaults, "tasks": "toy_{language}", "include_path": str(tmp_path), **params}

    return write


def by_hand(lm, question, choice):
    """ln p of ' choice' after the question, from the model's own logits."""
    import torch

    context, whole = lm.encode(question), lm.encode(f"{question} {choice}")
    with torch.inference_mode():
        logs = lm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(logs[place - 1, whole[place]]) for place in range(len(context), len(whole)))


def test_an_item_becomes_a_sample_with_margins_and_the_choice_taken(toy, tiny_lm):
    lm = tiny_lm()
    found = zeroshot.measure(lm, toy(), "en")
    for row, sample in zip(ROWS, found.samples, strict=True):
        nats = [by_hand(lm, row["question"], choice) for choice in row["choices"]]
        per_byte = [value / len(choice) for value, choice in zip(nats, row["choices"], strict=True)]
        gold, q = row["label"], sample.quantities
        assert q["choice"] == nats.index(max(nats))
        assert q["correct"] == (q["choice"] == gold)
        assert q["correct_per_byte"] == (per_byte.index(max(per_byte)) == gold)
        assert q["margin"] == pytest.approx(nats[gold] - max(v for i, v in enumerate(nats) if i != gold), abs=1e-3)
        assert (q["choices"], q["bytes"]) == (3, len(row["choices"][gold]))
        assert sample.group == f"{row['page']}#{row['place']}"


def test_estimates_fold_samples_and_items_of_one_page_are_one_cluster(toy, tiny_lm):
    found = zeroshot.measure(tiny_lm(), toy(), "en")
    correct = [sample.quantities["correct"] for sample in found.samples]
    accuracy = found.estimates["accuracy"]
    assert set(found.estimates) == set(zeroshot.METRICS)
    assert (accuracy.value, accuracy.n, accuracy.clusters) == (sum(correct) / 6, 6, 3)


def test_a_record_names_task_version_prompts_and_length(toy, tiny_lm):
    notes = zeroshot.measure(tiny_lm(), toy(max_length=64), "en").notes
    assert notes["task"].startswith("toy_en, version 3, lm-eval 0.4.")
    assert notes["max_length"] == "64 tokens"
    assert notes["dtypes"] == "body float32, head float32, log-softmax float32"
    other = zeroshot.measure(tiny_lm(), toy("{{question}}", "Q: {{question}}"), "en").notes
    assert len(notes["prompts"]) == 32
    assert notes["prompts"] != other["prompts"]


def test_the_limit_takes_the_first_and_ids_are_of_content(toy, tiny_lm):
    rows = [*ROWS[:2], ROWS[0]]
    every = zeroshot.measure(tiny_lm(), toy(rows=rows), "en").samples
    assert zeroshot.measure(tiny_lm(), toy(rows=rows), "en", 2).samples == every[:2]
    first, _, again = (sample.id for sample in every)
    assert again == f"{first}-2"


def test_items_that_are_too_long_are_counted_and_named(toy, tiny_lm):
    rows = [
        {**ROWS[0], "question": "Q" * 60},
        ROWS[1],
        {**ROWS[2], "choices": ["a", "b" * 50, "c"]},
    ]
    found = zeroshot.measure(tiny_lm(), toy(rows=rows, max_length=40), "en")
    assert len(found.samples) == 2
    assert found.notes["shortened"] == ("1 items (1): the question lost its beginning, for 40 tokens are read at once")
    assert found.notes["left_out"] == "1 items (3): a choice alone is longer than the 40 tokens that are read at once"
    with pytest.raises(ValueError, match="none of the 6 items fits: 2 tokens are read at once"):
        zeroshot.measure(tiny_lm(), toy(max_length=2), "en")


def test_examples_come_before_the_question_and_a_zero_of_the_task_stays(toy, tiny_lm):
    asked = toy("test_split: test", "test_split: test\nfewshot_split: test", fewshot=2)
    assert zeroshot.measure(tiny_lm(), asked, "en").notes["fewshot"] == "2 examples"
    fixed = toy("test_split: test", "test_split: test\nfewshot_split: test\nnum_fewshot: 0", fewshot=2)
    assert zeroshot.measure(tiny_lm(), fixed, "en").notes["fewshot"] == "0 examples"


def test_a_chat_template_wraps_the_question(toy, tiny_lm):
    lm = tiny_lm()
    with pytest.raises(ValueError, match="tokenizer has no chat template; leave chat_template out"):
        zeroshot.measure(lm, toy(chat_template=True), "en")
    plain = zeroshot.measure(lm, toy(), "en")
    lm.tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    wrapped = zeroshot.measure(lm, toy(chat_template=True), "en")
    assert wrapped.notes["prompts"] != plain.notes["prompts"]
    margin = by_hand_margin(lm, "[Question 0?]")
    assert wrapped.samples[0].quantities["margin"] == pytest.approx(margin, abs=1e-3)


def by_hand_margin(lm, context):
    """Of the first item; under a chat template no space comes between question and answer."""
    import torch

    def nats(choice):
        ids, n = lm.encode(context + choice), len(lm.encode(context))
        with torch.inference_mode():
            logs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logs[place - 1, ids[place]]) for place in range(n, len(ids)))

    return nats("yes") - max(nats("certainly not"), nats("no"))


def test_a_task_without_choices_is_right_where_greedy_decoding_is(toy, tiny_lm):
    lm = tiny_lm()
    changed = TASK.replace("multiple_choice", "loglikelihood").replace("doc_to_choice: choices\n", "")
    params = toy(TASK, changed.replace("doc_to_target: label", 'doc_to_target: " {{choices[0]}}"'))
    found = zeroshot.measure(lm, params, "en")
    assert found.samples[0].quantities == {"correct": 0.0}
    assert list(found.estimates) == ["accuracy"]
    with pytest.raises(ValueError, match="item 1 asks for the likelihood of 0, which is no text"):
        zeroshot.measure(lm, toy(TASK, changed), "en")


def margins(found):
    return [sample.quantities["margin"] for sample in found.samples]


def test_items_asked_again_are_asked_one_by_one_and_never_remembered(toy, tiny_lm, tmp_path, monkeypatch):
    lm, params, rows = tiny_lm(), toy(), []
    plain, answers = lm.hidden, tmp_path / "answers"

    def noisy(ids):
        """As if sums were rounded otherwise in every shape of a batch."""
        rows.append(len(ids))
        return plain(ids) * (1 + 0.01 * len(ids))

    first = zeroshot.measure(lm, params, "en", answers=answers)
    asked_again = zeroshot.measure(lm, params, "en", answers=answers, again=True)
    assert asked_again.notes == first.notes | {"again": "batch shape"}
    assert margins(asked_again) == pytest.approx(margins(first), abs=1e-4)
    monkeypatch.setattr(lm, "hidden", noisy)
    told = []
    apart = zeroshot.measure(lm, params, "en", 3, answers, lambda *said: told.append(said), again=True)
    assert (rows, told) == ([3] * 3, [("answering", done, 3) for done in (1, 2, 3)])
    batched = zeroshot.measure(lm, params, "en")
    assert rows[3:] == [18]
    assert min(abs(a - b) for a, b in zip(margins(apart), margins(batched), strict=False)) > 0
    assert margins(zeroshot.measure(lm, params, "en")) == margins(batched), "a re-run gives the same bits"
    assert margins(zeroshot.measure(lm, params, "en", answers=answers)) == margins(first), "what was answered is kept"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{{question}}", "{{query}}", "'toy_en' cannot be loaded .*'query' is undefined"),
        (
            "{{question}}",
            "{{query if place else question}}",
            "item 2 cannot be asked .'query' is undefined.; it has quest",
        ),
        ("doc_to_target: label", "doc_to_target: 7", "toy.yaml.: its first item's target is none of its choices"),
        (
            "doc_to_target: label",
            "doc_to_target: '{{place + 2}}'",
            "item 2 of 'toy_en' cannot be scored: its target is 3",
        ),
        ("doc_to_text:", "doc_to_txt: x\ndoc_to_text:", "'toy_en' cannot be loaded .*doc_to_txt"),
        ("output_type: multiple_choice", "output_type: loglikelihood_rolling", "is the task perplexity"),
        ("test_split: test", "test_split: test\nunsafe_code: true", "'toy_en' runs code that the model wrote"),
    ],
)
def test_a_task_that_cannot_be_measured_says_why(toy, tiny_lm, old, new, said):
    with pytest.raises(ValueError, match=said):
        zeroshot.measure(tiny_lm(), toy(old, new), "en")


def test_data_that_are_not_here_are_skipped_with_the_command_that_fetches_them(toy, tiny_lm, monkeypatch):
    import datasets

    def unreachable(**_):
        raise ConnectionError("Couldn't reach 'a/b' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    params = toy("dataset_path: json", "dataset_path: a/b\ndataset_name: part")
    with pytest.raises(Unavailable) as error:
        zeroshot.measure(tiny_lm(), params, "en")
    assert "(Couldn't reach 'a/b' on the Hub)" in str(error.value)
    assert """python -c "from datasets import load_dataset; load_dataset('a/b', 'part')\"""" in str(error.value)


def test_samples_are_finite_and_hold_no_text(toy, tiny_lm):
    for sample in zeroshot.measure(tiny_lm(), toy(), "en").samples:
        assert sample.text is None
        assert all(map(math.isfinite, sample.quantities.values()))


def test_the_bundled_items_are_asked_in_two_languages(tiny_lm):
    params = {name: default for name, (default, _) in FIELDS.items()} | {"tasks": "langgap_items_{language}"}
    en, ko = (zeroshot.measure(tiny_lm(), params, code, 8) for code in ("en", "ko"))
    assert [sample.group for sample in en.samples] == [sample.group for sample in ko.samples]
    assert len({sample.source_language for sample in en.samples}) == 8
    assert not {sample.id for sample in en.samples} & {sample.id for sample in ko.samples}


@pytest.mark.parametrize(("limit", "half"), [(24, 12), (5, 3), (1000, MOST_AGAIN), (None, MOST_AGAIN)])
def test_none_answers_the_first_half_of_the_items_again(limit, half):
    task = {"name": "zeroshot"} | ({"limit": limit} if limit else {})
    methods = [{"name": "none"}, {"name": "rtn"}]
    config = parse_config({"models": ["a"], "languages": ["en", "ko"], "method": methods, "task": [task]}, "test")
    items = {items_key(config.tasks[0], code): (ItemFacts("x_{language}", f"{code} items"),) for code in ("en", "ko")}
    plan = make_plan(config, Facts({"a": ModelFacts("weights", "float32", "cpu")}, {}, {}, items))
    none, rtn = plan.variants
    first, again = none.cells[::2], none.cells[1::2]
    assert [cell.limit for cell in none.cells] == [limit, half] * 2
    assert [cell.reference for cell in again] == [cell.key for cell in first]
    assert [(cell.limit, cell.reference) for cell in rtn.cells] == [(limit, None)] * 2
    assert len({cell.key for cell in plan.cells}) == 6
    names = [work.name for work in works(none, {}) if work.name.startswith("measure")]
    assert names[:2] == [f"measure zeroshot en en items {limit or 'all'}", f"measure zeroshot en en items {half} again"]


def test_a_sweep_records_answers_and_goes_on_from_there(tiny_sweep, toy, tmp_path):
    params = {name: value for name, value in toy().items() if value not in (None, "", False)}
    task = {"name": "zeroshot", **params, "tasks": ["toy_en", "langgap_items"], "limit": 2}
    del task["tasks"][0]
    assert tiny_sweep(task=[task]) == 0
    records = tiny_sweep.records()
    assert set(records) == {(m, b, "zeroshot", code) for m, b in (("none", None), ("rtn", 4)) for code in ("en", "ko")}
    record = records["rtn", 4, "zeroshot", "ko"]
    assert (record.status, record.cell.limit) == ("ok", 2)
    assert record.cell.params["tasks"] == "langgap_items_{language}"
    assert record.estimates["accuracy"].n == 2
    assert (tmp_path / "cache" / "responses" / record.artifact).is_dir()
    again = records["none", None, "zeroshot", "ko"]
    assert (again.cell.limit, again.estimates["accuracy"].n, again.notes["again"]) == (1, 1, "batch shape")
    assert again.cell.reference is not None


def test_data_out_of_reach_make_a_skipped_cell(tiny_sweep, toy, monkeypatch):
    import datasets

    def unreachable(**_):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    folder = toy("dataset_path: json", "dataset_path: a/b")["include_path"]
    assert tiny_sweep(task=[{"name": "zeroshot", "tasks": "toy_en", "include_path": folder}], languages=["en"]) == 0
    record = tiny_sweep.records()["none", None, "zeroshot", "en"]
    assert record.status == "skipped"
    assert record.reason.startswith("the data of the task 'toy_en' are not here and could not be fetched (no network)")


def test_a_family_that_went_away_since_the_plan_is_told(toy, tiny_lm):
    with pytest.raises(UserError, match=r"There is no task 'toy_\{language\}' in fr any more"):
        zeroshot.measure(tiny_lm(), toy(), "fr")


def test_the_default_sweep_asks_16_items_and_a_smaller_limit_holds_for_them_too():
    from harness.cli import parser
    from harness.commands.sweep import read_config

    def limit(*options):
        tasks = read_config(parser().parse_args(["sweep", *options])).tasks
        return next(task.params["limit"] for task in tasks if task.name == "zeroshot")

    assert (limit(), limit("--limit", "2"), limit("--limit", "100")) == (16, 2, 16)


def test_evaluate_prints_a_table_of_each_task(toy, tiny_folder, tmp_path, capsys):
    from harness.cli import main

    asked = f"zeroshot:include_path={toy()['include_path']},tasks=toy_en"
    command = ["evaluate", str(tiny_folder()), "--task", asked, "--languages", "en", "--cache", str(tmp_path / "cache")]
    assert main(command) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "toy_{language}"
    assert shown[1].split() == ["language", "accuracy", "accuracy_per_byte", "margin"]
    assert shown[2].startswith("en")
