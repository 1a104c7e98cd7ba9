"""What a plan says it can show: with spreads made up, in standard deviations without them, and what it advises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.config import parse_config
from harness.detectable import about_items, powers, suggestions
from harness.history import spreads_of
from harness.passages import fingerprint, passage
from harness.plan import CalibrationFacts, Facts, ModelFacts, Plan, calibration_of, make_plan, text_key
from results.cell import Cell
from results.power import sample_size, smallest_detectable

SWEEP = {
    "models": ["m"],
    "languages": ["en", "ko", "fr"],
    "method": [{"name": "none"}, {"name": "rtn", "bits": [4, 3]}, {"name": "awq"}],
    "task": [{"name": "perplexity"}],
}


def world(n=16, parallel=True, **changes):
    """(config, plan, texts) with n passages a language."""
    config = parse_config({**SWEEP, **changes}, "test")
    texts = {
        code: tuple(passage(f"{code} {i}", f"{'' if parallel else code}g{i}", code) for i in range(n))
        for code in config.languages
    }
    specs = [spec for method in config.methods if (spec := calibration_of(config, method))]
    facts = Facts(
        {"m": ModelFacts("w", "float32", "cpu")},
        {
            text_key(task, code): fingerprint(texts[code])
            for task in config.tasks
            if "corpus" in task.params
            for code in config.languages
        },
        {
            ("m", spec.key, draw): CalibrationFacts(f"c{draw}", "label")
            for spec in specs
            for draw in range(config.draws)
        },
    )
    return config, make_plan(config, facts), {fingerprint(of): of for of in texts.values()}


@pytest.fixture(autouse=True)
def _listed(listed):
    """Every test here plans with the stand-ins."""


SPREADS = {
    "w": {"gap 4-bit ko": [8.0, 16.0, 20.0], "gap 4-bit fr": [6.0, 16.0, 1.5], "loss 4-bit en": [5.0, 16.0, 16.0]}
}


def test_the_smallest_effects_of_each_bit_width():
    config, plan, texts = world()
    found = {(power.kind, power.width): power for power in powers(config, plan, texts, SPREADS)}
    assert set(found) == {
        ("loss", "4-bit"),
        ("gap", "4-bit"),
        ("versus", "4-bit"),
        ("loss", "3-bit"),
        ("gap", "3-bit"),
    }, "one 3-bit method has nothing to be compared with"
    gap = found["gap", "4-bit"]
    assert (gap.passages, gap.family) == (16, 2)
    assert gap.smallest == {
        "ko": pytest.approx(smallest_detectable(8.0, 16, family=2)),
        "fr": pytest.approx(smallest_detectable(6.0, 16, family=2)),
    }
    assert gap.needed == {"fr": sample_size(6.0, 1.5, family=2)}
    assert found["loss", "4-bit"].family == 3
    assert found["gap", "3-bit"].smallest == {}
    assert found["gap", "3-bit"].in_sd == pytest.approx(smallest_detectable(1.0, 16, family=2))


def test_draws_are_no_methods_of_their_own():
    config, plan, texts = world(draws=3, method=[{"name": "awq"}])
    assert {power.kind for power in powers(config, plan, texts, {})} == {"loss", "gap"}


def test_one_passage_shows_nothing_and_joined_texts_have_no_gap():
    config, plan, texts = world(n=1)
    assert {power.in_sd for power in powers(config, plan, texts, SPREADS)} == {float("inf")}
    config, plan, texts = world(task=[{"name": "perplexity", "protocol": "gptq"}])
    assert powers(config, plan, texts, SPREADS) == []
    assert suggestions(config, plan, texts, [], 40) == []


def advice(available=40, spreads=SPREADS, **changes):
    config, plan, texts = world(**changes)
    return suggestions(config, plan, texts, powers(config, plan, texts, spreads), available)


def test_a_sweep_that_cannot_see_what_was_seen_before_is_told_what_it_takes():
    needed = sample_size(6.0, 1.5, family=2)
    assert advice()[0] == (
        "4-bit, how much more than English: what an earlier run found in 1 of 2 languages is smaller than 16 passages "
        f"show; fr takes {needed}: the corpus has 40, so name a longer one (docs/texts.md)."
    )
    assert f"fr takes {needed}: --limit {needed}." in advice(available=1000)[0]


def test_advice_about_languages_parallel_text_passages_and_draws():
    (said,) = advice(spreads={})
    assert said.startswith("One calibration draw: what is found holds for these artifacts, not for the methods;")
    assert advice(spreads={}, draws=3) == []
    assert advice(languages=["ko", "fr"])[0] == (
        "No language gap can be told without English: add it, --languages en,ko,fr."
    )
    assert advice(languages=["en"])[0].startswith("No language gap can be told of English alone")
    assert advice(parallel=False)[0].startswith(
        "No gap can be told for ko, fr: its passages are not translations of English's. Name a parallel corpus"
    )
    assert "3 passages give wide intervals" in advice(n=3)[0]
    assert advice(n=3)[0].endswith("at least 10 are better: --limit 16.")
    assert advice(n=3, available=3)[0].endswith("at least 10 are better: a longer corpus.")


def test_spreads_of_a_run():
    from results.cell import Variant
    from results.claim import Change, Claims
    from results.estimate import Estimate

    def change(method, sd, bits):
        variant = Variant("m", "w", method, {"bits": 4})
        estimate = Estimate(0.1)
        lost = Estimate(bits, clusters=16)
        return Change(variant, method, "ko", "", estimate, estimate, lost, None, None, 0.5, 0.5, "", "", passage_sd=sd)

    empty = dict.fromkeys(Claims.__dataclass_fields__, ())
    claims = Claims(**{**empty, "level": 0.95, "changes": (change("rtn", 3.0, 9.0), change("awq", 5.0, 7.0))})
    assert spreads_of(claims) == {"w": {"loss 4-bit ko": [5.0, 16.0, 7.0]}}, "the widest of a bit width"


def test_items_say_how_many_points_they_can_show():
    config, plan, _ = world()
    variant = plan.variants[1].variant
    cells = tuple(
        Cell(variant, "zeroshot", 1, code, "items", {"tasks": "our_items"}, limit) for code, limit in CODES_AND_LIMITS
    )
    asked = Plan((replace(plan.variants[1], cells=cells),))
    points = 100 * smallest_detectable(0.1**0.5, 60, family=3)
    assert about_items(config, asked) == [
        f"our_items, 60 items a language: accuracy must change by {points:.0f} points to be seen (10% of answers "
        "flipping, 3 languages), and 7 answers must flip one way; margins show more."
    ]


CODES_AND_LIMITS = [("en", 60), ("ko", 60), ("fr", None)]
