"""Perplexity, nats per token, bits per byte and bits per sentence: how well the model predicts a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.folds import LN2, counted, fold, samples_of
from results.estimate import Measurement

if TYPE_CHECKING:
    from harness.readings import Reading

NAME = "perplexity"
VERSION = 1
SUMMARY = "how well a text is predicted: nats per token, perplexity, bits per byte and per sentence"
FIELDS = {
    "corpus": ("bundled", "bundled, file:texts/{language}.txt, wikitext2, ptb, c4 or wikipedia"),
    "protocol": ("rolling", "rolling: each passage whole, after BOS; gptq: the joined text in windows"),
    "window": (None, "tokens read at once; 2048 if not given"),
    "parallel": (False, "refuse texts whose passages differ between languages"),
}
METRICS = ("nats_per_token", "perplexity", "bits_per_byte", "bits_per_sentence")


def measure(reading: Reading) -> Measurement:
    """Sums per passage or window, and their ratios. Bits per sentence only where somebody counted sentences."""
    samples = samples_of(reading, lambda scored: {"nats": scored.nats})
    estimates = {
        "nats_per_token": fold(reading, samples, "nats", "tokens"),
        "perplexity": fold(reading, samples, "nats", "tokens", "exp"),
    }
    if counted(samples, "bytes"):
        estimates["bits_per_byte"] = fold(reading, samples, "nats", "bytes", scale=1 / LN2)
    if counted(samples, "sentences"):
        estimates["bits_per_sentence"] = fold(reading, samples, "nats", "sentences", scale=1 / LN2)
    return Measurement(samples, estimates, dict(reading.notes))
