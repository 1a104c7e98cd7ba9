from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contestants import find_variant, pairings
from harness.problems import UserError
from harness.specs import JudgeSpec, JudgingSpec
from results.cell import Cell, Variant
from results.estimate import Estimate
from results.labels import labels
from results.record import Record

SPEC = JudgingSpec((JudgeSpec("local"),), aa=False)


def variant(method, weights="w", **changes):
    return Variant(weights, weights, method, {} if method == "none" else {"bits": 4}, **changes)


def answered(*variants, language="en", cap=8, **changes):
    return [Record(Cell(v, "answers", 1, language, "t", {"max_new_tokens": cap}, 3), "ok") for v in variants]


def met(found):
    return [(p.ours.variant.method, p.ours.variant.weights, p.theirs.variant.method, p.ours.language) for p in found]


def test_sides_share_model_language_questions_and_parameters():
    records = [
        *answered(variant("none"), variant("rtn"), variant("none", "v"), variant("rtn", "v")),
        *answered(variant("none"), variant("rtn"), language="ko"),
    ]
    assert met(pairings(records, SPEC)) == [
        ("rtn", "w", "none", "en"),
        ("rtn", "v", "none", "en"),
        ("rtn", "w", "none", "ko"),
    ]
    for pairing in pairings(records, SPEC):
        assert pairing.ours.variant.weights == pairing.theirs.variant.weights
        assert pairing.ours.language == pairing.theirs.language
    with pytest.raises(UserError, match="there are no answers of 'none' in en to the questions that rtn bits=4"):
        pairings([*answered(variant("none")), *answered(variant("rtn"), cap=16)], SPEC)


def test_an_opponent_is_meant_by_label_method_or_key():
    none, rtn, awq = variant("none"), variant("rtn"), variant("awq")
    records = answered(none, rtn, awq)
    for word in ("rtn 4-bit", "rtn", rtn.key[:8]):
        found = pairings(records, replace(SPEC, against=word))
        assert met(found) == [("awq", "w", "rtn", "en")]
    found = pairings(records, replace(SPEC, against="rtn", variants=("none",)))
    assert met(found) == [("none", "w", "rtn", "en")]
    named = labels([none, rtn, awq])
    assert find_variant("awq", named, [none, rtn, awq]) == {awq.key}
    with pytest.raises(UserError, match=r"There is no variant with answers 'aqw'\. Did you mean 'awq'\?"):
        find_variant("aqw", named, [none, rtn, awq])


def test_of_several_draws_the_first_is_the_opponent():
    draws = [variant("awq", calibration=f"c{n}", draw=n) for n in (1, 0)]
    (pairing,) = pairings(answered(variant("rtn"), *draws), replace(SPEC, against="awq"))
    assert pairing.theirs.variant.draw == 0


def test_the_best_of_each_model_go_by_what_all_were_measured_in():
    named = {"rtn": 0.1, "awq": 0.3, "gptq": 0.2}
    records = answered(variant("none"), *map(variant, named))
    for method, value in named.items():
        languages = {"en": value, "ko": 10.0} if method == "rtn" else {"en": value}
        for language, kld in languages.items():
            cell = Cell(variant(method), "fidelity", 1, language, "text")
            records.append(Record(cell, "ok", {"kld_mean": Estimate(kld)}))
    assert [method for method, *_ in met(pairings(records, replace(SPEC, best=2)))] == ["rtn", "gptq"]


def test_nobody_to_judge_is_told():
    with pytest.raises(UserError, match="there is nobody to judge: only none has answers"):
        pairings(answered(variant("none")), SPEC)
    with pytest.raises(UserError, match="two variants with answers are needed"):
        pairings(answered(variant("none"), variant("rtn")), replace(SPEC, duels=True))
    failed = Record(Cell(variant("none"), "answers", 1, "en", "t"), "failed", reason="out of memory")
    with pytest.raises(UserError, match=r"holds no answers to judge \(failed: out of memory\)"):
        pairings([failed], SPEC)
