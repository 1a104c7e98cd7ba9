"""What is counted, what is timed, and what is not timed because nothing here would compute it as stored."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
import torch

from harness import speed
from harness.config import parse_config
from harness.problems import UserError
from harness.speed import Shape, Timing
from methods.base import Source
from results.metric import METRICS

SMALL = {"batch": 2, "prompt": 12, "new_tokens": 3, "repetitions": 4}
TIMED = {"prefill_tokens_per_second", "decode_tokens_per_second"}


@pytest.fixture
def made(tiny_folder, tmp_path):
    """``made(method, **params)``: an artifact's folder, and the model loaded from it."""

    def make(method, **params):
        from transformers import AutoTokenizer

        from harness.languagemodel import LanguageModel
        from methods import load
        from methods.artifact import load as loaded

        source = tiny_folder(hidden_size=64, intermediate_size=128, head_dim=16)
        folder = load(method)(**params).compress(Source(source, "digest"), None, tmp_path / method).folder
        return folder, LanguageModel(loaded(folder), AutoTokenizer.from_pretrained(source))

    return make


def test_the_original_and_factors_are_counted_and_timed(made):
    whole = speed.measure(*made("none"), SMALL)
    halved = speed.measure(*made("svd", keep=0.5, scope="all_linear", rank_multiple=1, min_break_even=0), SMALL)
    for found in (whole, halved):
        assert set(found.estimates) == set(speed.METRICS) <= set(METRICS)
        assert found.samples == ()
        assert "not_timed" not in found.notes
        assert found.notes["timed"].startswith(
            "median of 4 after 1 to warm up; batch 2, 12 tokens read, 3 made, float32 on cpu, "
        )
        assert "whole process" in found.notes["memory"]
        rate = found.estimates["decode_tokens_per_second"]
        assert 0 < rate.low <= rate.value <= rate.high
        assert (rate.method, rate.level, rate.n) == ("exact", 0.875, 4)
        assert found.estimates["peak_memory"].value > 10e6
        for total, kind in (("flops_per_token", "_flops"), ("bytes_per_token", "_traffic")):
            parts = [estimate.value for name, estimate in found.estimates.items() if name.endswith(kind)]
            assert len(parts) == 4
            assert sum(parts) == found.estimates[total].value
    assert whole.estimates["projection_flops"].value == 2 * 2 * (64 * 64 * 2 + 2 * 64 * 32)
    assert halved.estimates["mlp_flops"].value < 0.55 * whole.estimates["mlp_flops"].value
    assert halved.estimates["head_flops"] == whole.estimates["head_flops"]


@pytest.mark.parametrize(
    ("method", "params", "stored"),
    [
        ("rtn", {"granularity": "group:32"}, "14 affine"),
        ("magnitude", {}, "14 masked"),
        (
            "svd",
            {"keep": 0.8, "scope": "all_linear", "bits": 4, "granularity": "group:16", "min_break_even": 0},
            "packed factors",
        ),
    ],
    ids=["packed", "masked", "factors on a grid"],
)
def test_what_is_dequantized_on_loading_is_counted_and_not_timed(made, monkeypatch, method, params, stored):
    monkeypatch.setattr(speed, "repeat", lambda *_: pytest.fail("it was timed"))
    found = speed.measure(*made(method, **params), SMALL)
    assert set(found.estimates) == set(speed.METRICS) - TIMED - {"peak_memory"}
    reason = found.notes["not_timed"]
    assert reason.startswith("skipped: there is no kernel here that computes with layers as they are stored (")
    assert stored in reason
    assert "timed" not in found.notes


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes not installed")
def test_bitsandbytes_is_timed_in_its_own_layers(made, monkeypatch):
    folder, lm = made("ref_bitsandbytes")
    timed = []
    monkeypatch.setattr(speed, "repeat", lambda model, *_: timed.append(model) or [Timing(1.0, 0.5)] * 2)
    found = speed.measure(folder, lm, SMALL)
    (model,) = timed
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    assert type(lm.model.model.layers[0].mlp.up_proj) is torch.nn.Linear
    ids = torch.arange(4, 30)[None]
    with torch.inference_mode():
        ours, theirs = lm.model(ids).logits, model(ids).logits
    assert (ours - theirs).abs().mean() < 0.05 * ours.std()
    assert found.estimates["prefill_tokens_per_second"].value == 24
    assert found.estimates["decode_tokens_per_second"].value == 12
    assert "peak_memory" not in found.estimates
    assert found.notes["memory"].startswith("peak not measured")


def test_a_prompt_is_read_once_and_tokens_are_made_one_by_one(tiny_lm):
    model, seen = tiny_lm("gemma3_text").model, []
    real = model.forward

    def forward(**given):
        past = given.get("past_key_values")
        seen.append((tuple(given["input_ids"].shape), past.get_seq_length() if past else 0))
        return real(**given)

    ids = torch.arange(24).view(2, 12)
    with torch.inference_mode():
        expected = model.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)[:, 12:]
    made = []
    model.forward = lambda **given: made.append(given["input_ids"]) or forward(**given)
    speed.once(model, ids, 3)
    assert seen == [((2, 12), 0), ((2, 1), 12), ((2, 1), 13), ((2, 1), 14)]
    assert torch.cat(made[1:], 1).tolist() == expected[:, :3].tolist()


def test_the_first_repetition_is_not_counted(monkeypatch):
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=50)))
    prompts = []

    def once(model, ids, new_tokens):
        prompts.append(ids)
        return Timing(float(len(prompts)), 0.0)

    monkeypatch.setattr(speed, "once", once)
    assert [timing.prefill for timing in speed.repeat(model, Shape(2, 5, 1, 3), "cpu")] == [2.0, 3.0, 4.0]
    assert all(ids.shape == (2, 5) and ids.equal(prompts[0]) for ids in prompts)


def test_the_interval_of_a_median_is_what_order_alone_tells():
    assert speed.median([3.0, 1.0, 9.0, 4.0, 2.0, 5.0, 7.0]).to_json() == {
        "value": 4.0, "low": 1.0, "high": 9.0, "level": 1 - 2 / 2**7, "method": "exact", "n": 7,
    }  # fmt: skip
    assert speed.median([3.0]).to_json() == {"value": 3.0, "method": "none", "n": 1}


def test_an_architecture_that_cannot_be_counted_is_still_timed(made, monkeypatch):
    from methods import artifact
    from methods.base import UnsupportedModel

    def refuse(*_):
        raise UnsupportedModel("Model type 'strange' is not in the table.")

    folder, lm = made("none")
    monkeypatch.setattr(artifact, "cost", refuse)
    found = speed.measure(folder, lm, SMALL)
    assert set(found.estimates) == TIMED | {"peak_memory"}
    assert found.notes["not_counted"] == "Model type 'strange' is not in the table."


def test_a_prompt_too_long_for_the_model_is_refused(made):
    told = "^prompt=100 and new_tokens=40 are 140 tokens, and the model reads 128 at most; ask for fewer.$"
    with pytest.raises(ValueError, match=told):
        speed.measure(*made("none"), {**SMALL, "prompt": 100, "new_tokens": 40})


def test_numbers_below_one_are_refused_with_the_file():
    with pytest.raises(UserError) as refused:
        parse_config({"method": [{"name": "none"}], "task": [{"name": "speed", "batch": 0, "prompt": -3}]}, "a.toml")
    assert "batch is 0, but must be 1 or more." in str(refused.value)
    assert "prompt is -3, but must be 1 or more." in str(refused.value)


def test_it_is_one_cell_of_no_language_and_only_where_it_is_asked_for(tiny_sweep):
    changes = {"task": [{"name": "speed", **SMALL}], "languages": ["en", "ko"]}
    assert tiny_sweep(**changes) == 0
    records = tiny_sweep.records()
    assert sorted((method, language) for method, _, _, language in records) == [("none", "und"), ("rtn", "und")]
    assert all(record.status == "ok" for record in records.values())
    assert "not_timed" in records["rtn", 4, "speed", "und"].notes
    assert records["none", None, "speed", "und"].estimates.keys() >= TIMED
    before = tiny_sweep.told()
    assert tiny_sweep(**changes) == 0  # what was not timed is no failure to be tried again
    assert tiny_sweep.told() == before
    asked = parse_config({"method": [{"name": "none"}]}, "test").tasks
    assert "speed" not in {task.name for task in asked}


@pytest.mark.parametrize("method", ["none", "rtn"])
def test_evaluate_prints_it_for_an_artifact(made, capsys, method):
    import json

    from harness.cli import main

    folder, _ = made(method, **({"granularity": "group:32"} if method == "rtn" else {}))
    call = "speed:prompt=8,new_tokens=2,repetitions=2"
    assert main(["evaluate", str(folder), "--task", call, "--dtype", "float32", "--device", "cpu", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["task"], found["language"]) == ("speed", "und")
    assert ("decode_tokens_per_second" in found["estimates"]) == (method == "none")


def test_evaluate_asks_for_an_artifact(tiny_folder, capsys):
    from harness.cli import main

    assert main(["evaluate", str(tiny_folder()), "--task", "speed"]) == 2
    assert "speed weighs an artifact, and '" in capsys.readouterr().err
