from __future__ import annotations

import math

import numpy as np
import pytest

from harness import perplexity
from harness.readings import Protocol, Reading, Scored, Unit
from results.metric import METRICS


def reading(protocol="rolling", sentences=2, nbytes=8, count=12):
    """Passages of 1, 2, ... tokens, each of 0.5 nats."""
    units = [Unit(f"id{n}", f"g{n}", "ko", nbytes, sentences, ()) for n in range(count)]
    scored = tuple(Scored(unit, np.full(n + 1, 0.5, "float32")) for n, unit in enumerate(units))
    return Reading(Protocol(protocol), scored, {"protocol": f"{protocol}, window 2048"})


def test_each_number_is_a_ratio_of_sums():
    found = perplexity.measure(reading())
    value = {name: estimate.value for name, estimate in found.estimates.items()}
    tokens = sum(range(1, 13))
    assert value == pytest.approx(
        {
            "nats_per_token": 0.5,
            "perplexity": math.exp(0.5),
            "bits_per_byte": 0.5 * tokens / math.log(2) / (12 * 8),
            "bits_per_sentence": 0.5 * tokens / math.log(2) / 24,
        }
    )
    assert tuple(value) == perplexity.METRICS
    assert set(value) <= set(METRICS)
    assert found.notes["protocol"] == "rolling, window 2048"
    assert all((e.n, e.clusters, e.method) == (tokens, 12, "jackknife") for e in found.estimates.values())


def test_samples_hold_sums_and_where_they_come_from():
    sample = perplexity.measure(reading()).samples[3]
    assert (sample.id, sample.group, sample.source_language, sample.text) == ("id3", "g3", "ko", None)
    assert sample.quantities == {"nats": 2.0, "tokens": 4.0, "bytes": 8.0, "sentences": 2.0}


def test_windows_of_a_joined_text_have_neither_bytes_nor_sentences():
    found = perplexity.measure(reading("gptq", None, None))
    assert set(found.estimates) == {"nats_per_token", "perplexity"}
    assert found.samples[0].quantities == {"nats": 0.5, "tokens": 1.0}
    assert found.estimates["perplexity"].method == "block bootstrap"


def test_uncounted_sentences_give_no_bits_per_sentence():
    found = perplexity.measure(reading(sentences=1))
    assert "bits_per_sentence" not in found.estimates
    assert found.samples[0].quantities["sentences"] == 1


def test_one_passage_has_a_value_and_no_interval():
    estimate = perplexity.measure(reading(count=1)).estimates["perplexity"]
    assert estimate.value == pytest.approx(math.exp(0.5))
    assert (estimate.low, estimate.high) == (None, None)
