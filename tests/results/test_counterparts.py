"""Which in-house variant stands beside which library's."""

from __future__ import annotations

from typing import Any

import pytest

from results.cell import Variant
from results.counterparts import are_counterparts

ROUNDED = {"bits": 4, "granularity": "group:128", "symmetric": False}
PRUNED = {"sparsity": 0.5, "pattern": "2:4", "bits": 0}


def variant(method: str, **params: Any) -> Variant:
    return Variant("m", "w", method, params)


@pytest.mark.parametrize(
    ("ours", "theirs", "paired"),
    [
        (variant("gptq", **ROUNDED, act_order=True), variant("ref_llmcompressor", format="gptq", **ROUNDED), True),
        (variant("gptq", **ROUNDED), variant("ref_autogptq", **ROUNDED), True),
        (variant("awq", **ROUNDED), variant("ref_autoawq", granularity="group:128"), True),
        (variant("rtn", **ROUNDED), variant("ref_torchao", **ROUNDED), True),
        (variant("wanda", **PRUNED), variant("ref_llmcompressor", format="wanda", **PRUNED | {"bits": 4}), True),
        (variant("gptq", **ROUNDED), variant("ref_llmcompressor", format="awq", **ROUNDED), False),
        (variant("gptq", **ROUNDED | {"bits": 3}), variant("ref_gptqmodel", format="gptq", **ROUNDED), False),
        (variant("gptq", **ROUNDED), variant("ref_gptqmodel", format="gptq", **ROUNDED | {"symmetric": True}), False),
        (variant("wanda", **PRUNED | {"bits": 4}), variant("ref_llmcompressor", format="wanda", **PRUNED), False),
        (variant("rtn", **ROUNDED), variant("ref_hqq", bits=4, granularity="group:128"), False),
        (variant("rtn", **ROUNDED), variant("ref_bitsandbytes", format="nf4"), False),
        (variant("rtn", **ROUNDED), variant("gptq", **ROUNDED), False),
        (variant("none"), variant("ref_bitsandbytes", format="nf4"), False),
    ],
)
def test_one_algorithm_at_equal_settings(ours: Variant, theirs: Variant, paired: bool) -> None:
    assert are_counterparts(ours, theirs) is paired
    assert not are_counterparts(theirs, ours)
