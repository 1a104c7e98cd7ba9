"""The sums by which a gate compares give the numbers that the tasks themselves report."""

from __future__ import annotations

import math

import pytest

from results.comparison_cells import from_record
from results.folds import FOLDS, quantities
from results.metric import METRICS
from results.store import Run


def value(cell, metric):
    fold = FOLDS[metric]
    above = math.fsum(cell.columns[fold.numerator])
    below = math.fsum(cell.columns[fold.denominator]) if fold.denominator else len(cell.ids)
    ratio = fold.scale * above / below
    return {"ratio": ratio, "exp": math.exp(min(ratio, 700)), "root": math.sqrt(abs(ratio))}[fold.transform]


def test_every_metric_that_is_paired_exists():
    assert set(FOLDS) <= set(METRICS)


def test_sums_give_the_estimates_of_a_sweep(tiny_sweep):
    tiny_sweep(task=[{"name": name} for name in ("perplexity", "fidelity")])
    run = Run.open(tiny_sweep.path / "run")
    seen = set()
    for record in run.records():
        cell = from_record(run, record)
        for metric in set(record.estimates) & set(FOLDS):
            assert value(cell, metric) == pytest.approx(record.estimates[metric].value, rel=1e-6, abs=1e-9), metric
            seen.add(metric)
    assert {"nats_per_token", "perplexity", "bits_per_sentence", "kld_mean", "delta_p_rms", "top1_agreement"} <= seen


def test_an_item_without_a_score_is_left_out_and_one_without_a_language_adds_nothing():
    assert quantities(("win_rate", "wrong_language")) == (("rated", "score", "wrong_language"), ("score",))
