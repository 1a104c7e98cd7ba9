from __future__ import annotations

import tomllib

import pytest

from harness import toml
from harness.config import parse_config, to_toml
from harness.judgelist import JUDGES, parse_budget, parse_judge, read_judging
from harness.problems import UserError
from harness.specs import JudgeSpec
from judges.spending import Budget

ANSWERS = {"languages": ["en", "ko"], "method": [{"name": "none"}], "task": [{"name": "answers"}]}


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("local:bundled:gemma-3-270m", {"name": "local", "model": "bundled:gemma-3-270m"}),
        ("local:org/name@main,dtype=float32", {"name": "local", "model": "org/name@main", "dtype": "float32"}),
        ("api:gpt-x,max_tokens=64", {"name": "api", "model": "gpt-x", "max_tokens": 64}),
        ("api:model=m,base_url=http://h:1/v1", {"name": "api", "model": "m", "base_url": "http://h:1/v1"}),
        ("replay:runs/a=b/j.jsonl", {"name": "replay", "file": "runs/a=b/j.jsonl"}),
        ("api", {"name": "api"}),
    ],
)
def test_a_judge_of_the_command_line_is_the_table_of_a_sweep_file(text, table):
    assert parse_judge(text) == table


def test_what_is_no_pair_is_refused():
    with pytest.raises(UserError, match="'api:m,structured' has 'structured' where key=value belongs"):
        parse_judge("api:m,structured")


@pytest.mark.parametrize(
    ("text", "budget"),
    [("200calls", Budget(200)), ("20usd", Budget(None, 20.0)), ("1 call, 0.5USD", Budget(1, 0.5))],
)
def test_budgets(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "20", "20 euros", "-5usd", "0calls", "0usd"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(UserError, match="budget"):
        parse_budget(text)


JUDGED = [{"name": "perplexity"}, {"name": "answers", "only": "judged"}]
BEST = {"name": "local", "model": "x", "best": 2, "by": "bits"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"judge": {"name": "local", "model": "x"}},
            "needs a [judge] table that says by `best` how many variants meet",
        ),
        ({"judge": {}}, "answers: only = 'judged' needs a [judge] table"),
        ({"judge": {**BEST, "against": "rtn"}}, "and has no `variants` and no `against`."),
        ({"task": JUDGED[1:]}, "[judge]: the best go by bits, and perplexity is not measured; add a [[task]] named"),
        (
            {"task": [*JUDGED, {"name": "footprint", "only": "judged"}]},
            "only = 'judged' is for answers, not for footprint",
        ),
    ],
)
def test_choosing_who_answers_needs_a_number_and_a_measure(changes, said):
    whole = {**ANSWERS, "task": JUDGED, "judge": BEST}
    config = parse_config(whole, "test")
    assert config.tasks[1].only == "judged"
    assert parse_config(config.to_mapping(), "again") == config
    with pytest.raises(UserError) as caught:
        parse_config({**whole, **changes}, "test")
    assert said in str(caught.value)


def test_a_judge_table_fills_in_defaults_and_survives_being_written():
    config = parse_config({**ANSWERS, "judge": {"name": "local", "model": "x", "best": 2, "aa": False}}, "test")
    assert config.judging.judges == (
        JudgeSpec("local", {key: field.default for key, field in JUDGES["local"].fields.items()} | {"model": "x"}),
    )
    assert (config.judging.best, config.judging.aa, config.judging.against) == (2, False, "none")
    assert parse_config(tomllib.loads(to_toml(config)), "test") == config


def test_a_panel_survives_being_written():
    own = {"name": "api", "base_url": "http://h/v1", "seed": 3}
    panel = [{**own, "model": "one"}, {**own, "model": "two", "temperature": 1}]
    config = parse_config({**ANSWERS, "judge": {"panel": panel, "variants": ["rtn"], "again": True}}, "test")
    assert config.judging.again
    assert [judge.params["model"] for judge in config.judging.judges] == ["one", "two"]
    assert type(config.judging.judges[1].params["temperature"]) is float
    assert parse_config(tomllib.loads(toml.dumps(config.to_mapping())), "test") == config


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"name": "lokal", "model": "x"}, "There is no judge 'lokal'. Did you mean 'local'?"),
        ({"model": "x"}, "it has no name. Known judges: api, local and replay."),
        ({"name": "local"}, "local needs `model`"),
        ({"name": "local", "model": "x", "tempeature": 1}, "there is no key 'tempeature'."),
        ({"name": "api", "model": "x", "temprature": 1}, "Did you mean 'temperature'?"),
        ({"name": "api", "model": "x", "max_tokens": "many"}, "max_tokens is 'many', but must be an integer."),
        ({"name": "api", "model": "x", "bests": 2}, "Did you mean 'best'?"),
        ({"name": "api", "model": "x", "best": 0}, "best is 0, but must be 1 or more."),
        (
            {"name": "api", "model": "x", "by": "speed"},
            "by is 'speed', but must be one of fidelity, perplexity and bits.",
        ),
        ({"name": "api", "model": "x", "aa": 1}, "aa is 1, but must be true or false."),
        ({"name": "api", "model": "x", "budget": "much"}, "the budget 'much' is not understood"),
        ({"name": "api", "model": "x", "duels": True, "against": "rtn"}, "leave one out."),
        (
            {"name": "api", "model": "x", "again": True, "aa": False},
            "again has `none` answer twice to be shown against itself, which duels and aa = false leave out.",
        ),
        ({"panel": [{"name": "api", "model": "x"}] * 2}, "on the panel twice"),
    ],
)
def test_mistakes_in_a_judge_table_are_told(table, said):
    with pytest.raises(UserError) as told:
        parse_config({**ANSWERS, "judge": table}, "test")
    assert said in str(told.value)
    assert "[judge]" in str(told.value)


def test_a_judge_without_answers_and_a_task_called_pairwise_are_refused():
    judge = {"name": "local", "model": "x"}
    with pytest.raises(UserError, match=r"\[judge\]: it judges answers, and none are asked for"):
        parse_config({"method": [{"name": "none"}], "judge": judge}, "test")
    with pytest.raises(UserError, match=r"pairwise\): it judges stored answers: write a \[judge\] table"):
        parse_config({"method": [{"name": "none"}], "task": [{"name": "pairwise"}]}, "test")


def test_tasks_on_the_command_line_without_answers_leave_the_files_judge_out(tmp_path):
    from harness.cli import parser
    from harness.commands.sweep import read_config

    path = tmp_path / "s.toml"
    path.write_text(toml.dumps({**ANSWERS, "judge": {"name": "local", "model": "x"}}))
    assert read_config(parser().parse_args(["sweep", str(path)])).judging
    assert read_config(parser().parse_args(["sweep", str(path), "--task", "footprint"])).judging is None


def test_problems_of_the_command_line_have_no_table_before_them():
    problems: list[str] = []
    assert read_judging({"name": "api", "model": "m", "bset": 1}, "", problems)
    assert problems == ["there is no key 'bset'. Did you mean 'best'? Known: " + problems[0].partition("Known: ")[2]]
