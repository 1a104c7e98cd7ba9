from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from results import gap as gaps
from results.comparison_cells import Side, from_run
from results.comparison_damage import (
    NotComparable,
    Scale,
    Term,
    damage,
    damages,
    pair,
    passages_needed,
    swapped_values,
)
from results.folds import FOLDS
from results.power import sample_size
from results.statistics import mean
from results.store import Run

BITS = Scale(FOLDS["bits_per_sentence"], 1.0, False)


def made(values, name="nats", ids=None, groups=None, **other):
    n = len(values)
    ids = tuple(ids or map(str, range(n)))
    return Side(ids, tuple(groups or ids), {name: tuple(values), **{key: tuple(of) for key, of in other.items()}})


def accuracy(right, **named):
    return made(right, "correct", **named)


RIGHT = Scale(FOLDS["accuracy"], -1.0, False)


def test_equals_the_paired_t_interval_where_passages_are_equally_long():
    rng = np.random.default_rng(0)
    o = rng.normal(300, 30, 16)
    q = o + rng.normal(5, 3, 16)
    sentences = [4.0] * 16
    found = damage([[Term(1, made(q, sentences=sentences), made(o, sentences=sentences))]], BITS)
    expected = stats.ttest_rel(q, o)
    assert found.contrast.value == pytest.approx((q - o).mean() / 4 / np.log(2))
    assert found.contrast.p() == pytest.approx(expected.pvalue)


def test_of_two_languages_equals_the_gap(gate_run):
    run = Run.open(gate_run(worse={("rtn", "ko"): 3.0}))
    cells = {
        (one.cell.variant.method, one.cell.language): one for one in from_run(run) if one.cell.task == "perplexity"
    }
    by_group = {
        (record.cell.variant.method, record.cell.language): {s.group: s for s in run.samples(record.cell.key)}
        for record in run.records()
        if record.cell.task == "perplexity"
    }
    groups, _ = gaps.match({"ko": by_group["rtn", "ko"], "en": by_group["rtn", "en"]})
    ko, en = (gaps.pair(code, by_group["rtn", code], by_group["none", code], groups) for code in ("ko", "en"))
    found = damage([[Term(1, cells["rtn", code].side, cells["none", code].side)] for code in ("ko", "en")], BITS)
    expected = gaps.gap([ko], [en]).headline
    assert found.contrast.value == pytest.approx(expected.value)
    assert found.contrast.se == pytest.approx(expected.se)


def test_higher_is_better_turns_the_sign_and_passages_are_clusters():
    groups = ["a#0", "a#1", "b#0", "b#1"]
    q, o = accuracy([1, 0, 0, 0], groups=groups), accuracy([1, 1, 0, 1], groups=groups)
    found = damage([[Term(1, q, o)]], RIGHT)
    assert (found.contrast.value, found.contrast.clusters, found.contrast.n) == (0.5, 2, 4)
    assert (found.value, found.reference) == (0.25, 0.75)


def test_items_are_paired_by_content_and_the_others_are_counted():
    q = accuracy([1, 0, 1], ids=["c", "a", "new"])
    o = accuracy([1, 1, 0, 1], ids=["a", "b", "c", "d"])
    paired = pair([[Term(1, q, o)]], RIGHT)
    assert (paired.items, paired.lacking, paired.extra) == (2, 2, 1)
    [found] = damages([paired])
    assert found == (found[0], 0.5, 0.5)  # of the two that both have
    assert found[0].value == 0.0


def test_a_relative_damage():
    rng = np.random.default_rng(1)
    o, tokens = rng.normal(300, 30, 400), rng.integers(80, 120, 400).astype(float)
    q = o * 1.02
    scale = Scale(FOLDS["nats_per_token"], 1.0, True)
    found = damage([[Term(1, made(q, tokens=tokens), made(o, tokens=tokens))]], scale)
    assert found.contrast.value == pytest.approx(0.02)
    assert found.contrast.se == pytest.approx(0, abs=1e-12)


def test_an_anchor_subtracts_what_was_lost_then():
    o, then, now = [10.0] * 4, [12.0, 13, 12, 13], [15.0, 15, 14, 16]
    scale = Scale(FOLDS["margin"], -1.0, False)
    sides = [made(values, "margin") for values in (now, o, then, o)]
    found = damage([[Term(1, sides[0], sides[1]), Term(-1, sides[2], sides[3])]], scale)
    expected = mean(np.array(then) - np.array(now))
    assert (found.contrast.value, found.contrast.se) == pytest.approx((expected.value, expected.se))


def test_a_metric_measured_against_none_has_a_constant_there():
    found = damage([[Term(1, made([1, 0.5, 0, 0.5, 0], "score"), None)]], Scale(FOLDS["win_rate"], -1.0, False))
    assert found.contrast.value == pytest.approx(0.1)


def test_windows_of_one_text_are_bootstrapped_in_blocks():
    rng = np.random.default_rng(0)
    drift = np.repeat(rng.normal(size=8), 5)
    o = rng.normal(300, 30, 40)
    term = Term(1, made(o + 5 + drift, tokens=[100.0] * 40), made(o, tokens=[100.0] * 40))
    scale = Scale(FOLDS["nats_per_token"], 1.0, False)
    plain, blocks = (damage([[term]], scale, windows=windows).contrast for windows in (False, True))
    assert blocks.value == pytest.approx(plain.value)
    assert blocks.se > plain.se
    assert blocks.method == "block bootstrap"


@pytest.mark.parametrize(
    ("terms", "scale", "sentence"),
    [
        ([[Term(1, accuracy([1], ids=["a"]), accuracy([1], ids=["b"]))]], RIGHT, "no item is shared"),
        ([[Term(1, accuracy([1, 0]), made([1, 2]))]], RIGHT, "the items keep no correct"),
        ([[Term(1, accuracy([1, 0]), accuracy([0, 0]))]], RIGHT._replace(relative=True), "something above 0"),
        (
            [[Term(1, accuracy([1, 0], groups=[a, b]), accuracy([0, 0], groups=[a, b]))] for a, b in ("ab", "cd")],
            RIGHT,
            "no parallel item is shared with English",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(terms, scale, sentence):
    with pytest.raises(NotComparable, match=sentence):
        damage(terms, scale)


def test_swapping_labels_equals_computing_again():
    rng = np.random.default_rng(2)
    o = {code: rng.normal(300, 30, 6) for code in ("ko", "en")}
    q = {code: o[code] + rng.normal(9, 2, 6) for code in o}
    sentences = rng.integers(3, 6, 6).astype(float)
    signs = np.array([True, False, False, True, True, False])

    def terms(swap):
        a = {code: np.where(swap, o[code], q[code]) for code in o}
        b = {code: np.where(swap, q[code], o[code]) for code in o}
        return [[Term(1, made(a[code], sentences=sentences), made(b[code], sentences=sentences))] for code in o]

    value, se = swapped_values(pair(terms(np.zeros(6, bool)), BITS), np.stack([signs, ~signs]))
    expected = [damage(terms(swap), BITS).contrast for swap in (signs, ~signs)]
    assert value == pytest.approx([one.value for one in expected])
    assert se == pytest.approx([one.se for one in expected])


def left_out(value, rows):
    """The jackknife as its formula is written: leave one passage out, again and again."""
    n = len(rows)
    without = [value(np.delete(rows, i, axis=0).sum(axis=0)) for i in range(n)]
    mean_of = sum(without) / n
    return value(rows.sum(axis=0)), (sum((one - mean_of) ** 2 for one in without) * (n - 1) / n) ** 0.5


def test_many_at_once_are_each_alone(monkeypatch):
    monkeypatch.setattr("results.comparison_damage.AT_ONCE", 64)  # so that a kind takes several batches
    rng = np.random.default_rng(3)
    scales = [
        Scale(FOLDS["nats_per_token"], 1.0, True),
        Scale(FOLDS["perplexity"], 1.0, False),
        Scale(FOLDS["delta_p_rms"], 1.0, False),
    ]
    paired, expected = [], []
    for number in range(30):
        scale, n = scales[number % 3], (8, 11)[number % 2]
        a, b = (np.column_stack([rng.normal(300, 30, n), rng.integers(80, 120, n)]) for _ in range(2))
        q, o = (made(rows[:, 0], scale.fold.numerator, tokens=rows[:, 1]) for rows in (a, b))
        transform = {"ratio": float, "exp": np.exp, "root": np.sqrt}[scale.fold.transform]

        def lost(sums, of=transform, relative=scale.relative):
            now, then = of(sums[0] / sums[1]), of(sums[2] / sums[3])
            return (now - then) / (then if relative else 1)

        paired.append(pair([[Term(1, q, o)]], scale))
        expected.append(left_out(lost, np.hstack([a, b])))
    nothing = pair([[Term(1, made([1.0] * 8, tokens=[1.0] * 8), made([0.0] * 8, tokens=[1.0] * 8))]], scales[0])
    empty = pair([[Term(1, made([1.0] * 8, tokens=[0.0] * 8), made([1.0] * 8, tokens=[0.0] * 8))]], scales[1])
    *found, no_base, no_sum = damages([*paired, nothing, empty])
    assert [(one.contrast.value, one.contrast.se) for one in found] == [pytest.approx(of, rel=1e-12) for of in expected]
    assert "something above 0" in str(no_base)
    assert "nats or tokens add up to nothing" in str(no_sum)


@pytest.mark.parametrize("margin", [0.2, 0.5, 1.0])
def test_how_many_passages_are_needed_agrees_with_the_power_of_t(margin):
    contrast = mean(np.random.default_rng(0).normal(size=20))
    sd = contrast.se * 20**0.5
    assert passages_needed(contrast, margin) == pytest.approx(sample_size(sd, margin), abs=2)
