from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contestants import find_variant, pairings, to_answer
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


def needing(bits, **changes):
    """Perplexity records of one variant: language -> bits per sentence."""
    who = variant(**changes)
    return [
        Record(Cell(who, "perplexity", 1, at, f"text {at}"), "ok", {"bits_per_sentence": Estimate(of)})
        for at, of in bits.items()
    ]


def test_the_best_by_bits_lose_least_in_the_language_where_they_lose_most():
    """rtn needs fewest bits on the whole and awq fewest in the worst language; without an original nothing is lost."""
    records = [
        *needing({"en": 100, "ko": 200}, method="none"),
        *needing({"en": 101, "ko": 220, "fr": 1}, method="rtn"),
        *needing({"en": 119, "ko": 219, "fr": 9}, method="awq"),
        *needing({"en": 100, "ko": 230, "fr": 0}, method="gptq"),
    ]
    spec = replace(SPEC, best=2, by="bits")
    everyone = answered(*map(variant, ("none", "rtn", "awq", "gptq")))
    assert [method for method, *_ in met(pairings([*everyone, *records], spec))] == ["rtn", "awq"]
    assert [method for method, *_ in met(pairings([*everyone, *records], replace(spec, best=1)))] == ["awq"]
    with pytest.raises(UserError, match="chosen by bits, which was not measured for awq 4-bit"):
        pairings([*everyone, *records[2:]], spec)


def test_who_answers_for_the_judge_is_the_first_draw_of_what_was_measured_of_each_model():
    known = [
        *needing({"en": 100}, method="none"),
        *needing({"en": 130}, method="rtn"),
        *needing({"en": 120}, method="awq", draw=0),
        *needing({"en": 110}, method="awq", draw=1),
        *needing({"en": 100}, method="none", weights="v"),
        *needing({"en": 150}, method="rtn", weights="v"),
    ]
    lost = Record(Cell(variant("gptq"), "perplexity", 1, "en", "text en"), "failed", reason="out of memory")
    variants = [record.cell.variant for record in (*known, lost)]
    spec = replace(SPEC, best=1, by="bits")
    chosen = to_answer(variants, [*known, lost], spec)
    assert chosen == {variant("awq", draw=0).key, variant("rtn", "v").key}
    assert to_answer(variants[::-1], [lost, *known[::-1]], spec) == chosen, (
        "the order of what was measured is no matter"
    )
    assert to_answer(variants[:1], known, spec) == set()


def test_nobody_to_judge_is_told():
    with pytest.raises(UserError, match="there is nobody to judge: only none has answers"):
        pairings(answered(variant("none")), SPEC)
    with pytest.raises(UserError, match="two variants with answers are needed"):
        pairings(answered(variant("none"), variant("rtn")), replace(SPEC, duels=True))
    failed = Record(Cell(variant("none"), "answers", 1, "en", "t"), "failed", reason="out of memory")
    with pytest.raises(UserError, match=r"holds no answers to judge \(failed: out of memory\)"):
        pairings([failed], SPEC)


def test_the_originals_second_answers_are_shown_beside_its_first_and_nobody_meets_them():
    def seeded(seed, *variants):
        return [replace(r, cell=replace(r.cell, params={**r.cell.params, "seed": seed})) for r in answered(*variants)]

    none, rtn = variant("none"), variant("rtn")
    records = [*seeded(1, none), *seeded(0, none, rtn)]
    found = [(p.ours.variant.method, p.ours.params["seed"], p.theirs.params["seed"]) for p in pairings(records, SPEC)]
    assert found == [("rtn", 0, 0)]
    found = pairings(records, replace(SPEC, aa=True))
    assert [(p.ours.variant.method, p.ours.params["seed"], p.theirs.params["seed"]) for p in found] == [
        ("none", 0, 0),
        ("none", 0, 1),
        ("rtn", 0, 0),
    ]
