"""Which in-house variant and which of a reference library do the same thing: one algorithm at equal settings."""

from __future__ import annotations

from results.cell import Variant

REFERENCE = "ref_"
ROUNDING = ("rtn", "gptq", "awq")
PRUNING = ("sparsegpt", "wanda")
FIXED = {"ref_autoawq": "awq", "ref_autogptq": "gptq", "ref_torchao": "rtn"}
"""Methods whose library is run for one algorithm alone; of others ``format`` says it."""


def task_of(variant: Variant) -> tuple[object, ...] | None:
    """Algorithm and settings that two implementations must share to be set side by side; None where there is no other.

    Bits, group and symmetry of what rounds; sparsity and pattern of what prunes. Orders, damping and searches may
    differ: they are what is compared.
    """
    algorithm, params = _algorithm(variant), variant.params
    if algorithm in ROUNDING:
        settings = params.get("bits", 4), params.get("granularity"), params.get("symmetric", False)
    elif algorithm in PRUNING and not (variant.method in PRUNING and params.get("bits")):
        settings = params.get("sparsity"), params.get("pattern"), None
    else:
        return None
    return (variant.weights, variant.dtype, variant.device, algorithm, *settings)


def are_counterparts(ours: Variant, theirs: Variant) -> bool:
    """Whether ``ours`` is in-house, ``theirs`` a library's, and both do the same."""
    if ours.method.startswith(REFERENCE) or not theirs.method.startswith(REFERENCE):
        return False
    task = task_of(ours)
    return task is not None and task == task_of(theirs)


def _algorithm(variant: Variant) -> object:
    if not variant.method.startswith(REFERENCE):
        return variant.method
    return FIXED.get(variant.method) or variant.params.get("format")
