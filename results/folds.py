"""Which sums of an item a metric is made of: what lets two sides be compared item by item instead of number by number.

A metric is ``scale * sum(numerator) / sum(denominator)`` over items, exponentiated or rooted where its name says so. A
metric that is not listed has no value per item: sizes, speeds, quantiles over tokens.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

LN2 = math.log(2)


@dataclass(frozen=True)
class Fold:
    numerator: str
    denominator: str | None = None
    """None: the number of items."""
    scale: float = 1.0
    transform: Literal["ratio", "exp", "root"] = "ratio"
    null: float | None = None
    """What `none` itself would have, for metrics that are measured against `none`; None for all others."""


FOLDS: dict[str, Fold] = {
    "nats_per_token": Fold("nats", "tokens"),
    "perplexity": Fold("nats", "tokens", transform="exp"),
    "bits_per_byte": Fold("nats", "bytes", 1 / LN2),
    "bits_per_sentence": Fold("nats", "sentences", 1 / LN2),
    "kld_mean": Fold("kl_nats", "tokens", null=0.0),
    "kld_bits_per_sentence": Fold("kl_nats", "sentences", 1 / LN2, null=0.0),
    "kld_share_of_entropy": Fold("kl_nats", "entropy_nats", null=0.0),
    "top1_agreement": Fold("agreed", "tokens", null=1.0),
    "delta_p_rms": Fold("delta_p_squared", "tokens", transform="root", null=0.0),
    "accuracy": Fold("correct"),
    "accuracy_per_byte": Fold("correct_per_byte"),
    "margin": Fold("margin"),
    "wrong_language": Fold("wrong_language", "rated"),
    "mixed_script": Fold("mixed_script", "rated"),
    "looped": Fold("looped", "answers"),
    "truncated": Fold("truncated", "answers"),
    "empty": Fold("empty", "answers"),
    "tokens_per_answer": Fold("tokens", "answers"),
    "win_rate": Fold("score", null=0.5),
    "win_rate_conservative": Fold("conservative", null=0.5),
    "win_rate_gated": Fold("gated", null=0.5),
}

EXACT_UNITS = ("bytes", "tokens/s", "operations")
EXACT = ("bits_per_weight",)
"""Units and metrics that are compared as they are. Others without a value per item (quantiles, a judge's consistency)
scatter, and are compared as they are only where somebody says ``test = "exact"``."""


NEVER = ("win_rate_length_controlled",)
"""Length is a result of compression, so a rate at equal length is told and never gates."""


def quantities(metrics: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the sums that the given metrics need, and those that an item cannot lack without being left out.

    An item without a score was not judged; one that adds nothing to two sums (an answer that has no language) adds 0.
    """
    found = [FOLDS[name] for name in FOLDS if name in metrics]
    names = {name for fold in found for name in (fold.numerator, fold.denominator) if name}
    return tuple(sorted(names)), tuple(sorted({fold.numerator for fold in found if fold.denominator is None}))
