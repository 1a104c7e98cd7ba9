"""Runs beside each other: equal ones, one that became worse, and everything that keeps two from being compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from results.across import TooLittle, beside
from results.store import Run


def found(**folders):
    return beside({name: Run.open(folder) for name, folder in folders.items()})


def test_a_run_beside_itself_is_the_same_item_by_item(gate_run):
    told = found(a=gate_run("a"), b=gate_run("b"))
    assert {one.verdict for one in told.compared} == {"same"}
    assert {one.place.task for one in told.compared} == {"footprint", "perplexity", "zeroshot"}
    assert told.apart == ()
    assert [fact.name for fact in told.facts if fact.differs] == []


def test_what_became_worse_is_told_as_later_less_first_with_its_error_by_passage(gate_run):
    folders = gate_run("a"), gate_run("b", worse={("awq", "ko"): 2.0}, seed=0)
    told = found(a=folders[0], b=folders[1])
    (one,) = [one for one in told.compared if one.verdict != "same"]
    assert (one.run, one.place.method, one.place.language, one.metric) == ("b", "awq", "ko", "bits_per_sentence")
    runs = [Run.open(folder) for folder in folders]
    cells = [record.cell for record in runs[0].records()]
    key = next(c.key for c in cells if (c.variant.method, c.task, c.language) == ("awq", "perplexity", "ko"))
    sums = [np.array([[s.quantities["nats"], s.quantities["sentences"]] for s in run.samples(key)]) for run in runs]
    first, later = (of[:, 0].sum() / of[:, 1].sum() / math.log(2) for of in sums)
    assert (one.first, one.value) == (pytest.approx(first), pytest.approx(later))
    assert one.difference.value == pytest.approx(later - first)
    lost = (sums[1][:, 0] - sums[0][:, 0]) / 5 / math.log(2)  # five sentences in every passage
    assert one.difference.high - one.difference.value == pytest.approx(2.1314495 * lost.std(ddof=1) / 4, rel=1e-6)
    assert (one.verdict, one.items) == ("established", 16)


def test_sizes_have_no_items_and_are_compared_as_they_are(gate_run):
    told = found(a=gate_run("a"), b=gate_run("b", size=1100.0))
    sizes = {one.place.method: one for one in told.compared if one.metric == "total_bytes"}
    assert sizes["none"].difference.value == pytest.approx(100.0)
    assert sizes["none"].verdict == "differs"
    assert sizes["none"].difference.low is None


def test_holm_is_over_all_that_a_run_has_beside_the_first(gate_run):
    told = found(a=gate_run("a"), b=gate_run("b", seed=3, worse={("awq", "ko"): 0.1}, noise=3.0))
    (one,) = [one for one in told.compared if one.verdict != "same"]
    family = [other for other in told.compared if other.metric != "total_bytes"]
    assert len(family) == 18
    assert one.p_adjusted == pytest.approx(min(1.0, 18 * one.p))


@pytest.mark.parametrize(
    ("options", "why", "detail"),
    [
        ({"text": "u"}, "texts", "t-en · u-en"),
        ({"weights": "e" * 32}, "model", "tiny ffffffff · tiny eeeeeeee"),
        ({"cell": {"limit": 4}}, None, None),
        ({"failed": (("awq", "ko"),)}, "status", "failed: out of memory"),
        ({"methods": ("none", "rtn")}, "missing", ""),
    ],
)
def test_what_cannot_be_compared_is_told_with_its_reason(gate_run, options, why, detail):
    told = found(a=gate_run("a"), b=gate_run("b", **options))
    reasons = {one.why: one.detail for one in reversed(told.apart)}
    assert reasons == ({} if why is None else {why: detail})


def test_what_only_the_later_run_has_is_told(gate_run):
    told = found(a=gate_run("a", languages=("en",)), b=gate_run("b", languages=("en", "ja")))
    assert {(one.why, one.place.language) for one in told.apart} == {("extra", "ja")}


def test_facts_tell_what_differs_and_what_does_not(gate_run):
    told = found(a=gate_run("a"), b=gate_run("b", libraries={"torch": "2.14.0", "numpy": "2.4.0"}, text="u"))
    differing = {fact.name: fact.said for fact in told.facts if fact.differs}
    assert differing.pop("torch") == ("2.13.0", "2.14.0")
    assert differing.pop("perplexity ko") == ("t-ko", "u-ko")
    assert all(name.startswith(("perplexity", "zeroshot")) for name in differing)
    equal = {fact.name: fact.said for fact in told.facts if not fact.differs}
    assert equal["numpy"] == ("2.4.0", "2.4.0")
    assert equal["measured"] == ("2026-11-01", "2026-11-01")


def test_a_run_without_a_finished_cell_is_refused(gate_run):
    everything = [(method, code) for method in ("none", "rtn", "awq") for code in ("en", "ko", "ja", "und")]
    lost = gate_run("b", failed=everything)
    with pytest.raises(TooLittle, match="b has no finished cell, so there is nothing to set beside the other runs"):
        found(a=gate_run("a"), b=lost)
