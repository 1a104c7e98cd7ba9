"""Sparse and low-rank variants beside dense ones of nearly equal bytes: what leaving out buys that rounding does not.

A sparse or low-rank method is known by its parameters: ``sparsity``, or ``keep_of`` of the factorisations. Every other
compressed variant is dense. Beside each stand all dense ones whose bytes lie within 3%; where there is none, the
nearest below and the nearest above. Differences are those of the comparisons of methods, turned so that the sparse or
low-rank one comes first; nothing is tested anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from results import sentences
from results.contests import Comparison
from results.evidence import Method

WITHIN = 0.03
MARKS = ("sparsity", "keep_of")
Relation = Literal["equal", "below", "above"]
REMARKS = {
    "equal": ("", ""),
    "below": (", the nearest below", ", 아래로 가장 가까운 크기"),
    "above": (", the nearest above", ", 위로 가장 가까운 크기"),
}


@dataclass(frozen=True)
class EqualBytes:
    """A sparse or low-rank method beside one dense method."""

    label: str
    beside: str
    setting: str
    bytes: float
    beside_bytes: float
    relation: Relation
    """Whether the dense one is within 3%, or only the nearest below or above."""
    comparisons: tuple[Comparison, ...]
    """By language; a negative difference: the sparse or low-rank one is better."""
    sentence_en: str
    sentence_ko: str


def equal_bytes(
    methods: Sequence[Method], comparisons: Sequence[Comparison], sizes: Mapping[str, float], setting: str
) -> list[EqualBytes]:
    """``sizes``: label -> total bytes. Nothing where a run has no such method, or no dense one beside it."""
    weighed = [method for method in methods if method.label in sizes]
    dense = [method.label for method in weighed if not leaves_out(method)]
    found = []
    for method in weighed:
        if not leaves_out(method):
            continue
        for beside, relation in nearest(sizes[method.label], {label: sizes[label] for label in dense}):
            both = [turned for one in comparisons if (turned := _turned(one, method.label, beside)) is not None]
            if both:
                found.append(_set_beside(method.label, beside, sizes, relation, both, setting))
    return found


def leaves_out(method: Method) -> bool:
    """Whether a method leaves weights or ranks out, rather than rounding them alone."""
    return any(name in method.draws[0].params for name in MARKS)


def nearest(size: float, dense: Mapping[str, float]) -> list[tuple[str, Relation]]:
    """Every label within 3% of ``size``, the nearest first; else the nearest below and the nearest above.

    >>> nearest(100, {"a": 98, "b": 101, "c": 50}), nearest(100, {"a": 80, "b": 50, "c": 120})
    ([('b', 'equal'), ('a', 'equal')], [('a', 'below'), ('c', 'above')])
    """
    ordered = sorted(dense, key=lambda label: abs(dense[label] - size))
    equal: list[tuple[str, Relation]] = [(it, "equal") for it in ordered if abs(dense[it] - size) <= WITHIN * size]
    if equal:
        return equal
    below: list[tuple[str, Relation]] = [(it, "below") for it in ordered if dense[it] < size]
    above: list[tuple[str, Relation]] = [(it, "above") for it in ordered if dense[it] > size]
    return below[:1] + above[:1]


def _turned(one: Comparison, label: str, beside: str) -> Comparison | None:
    """A comparison of the two on bits per sentence with ``label`` first; None for any other."""
    if one.measure != "bits" or {one.a, one.b} != {label, beside}:
        return None
    if one.a == label:
        return one
    was = one.difference
    ends = (None if was.high is None else -was.high, None if was.low is None else -was.low)
    return replace(
        one,
        a=one.b,
        b=one.a,
        variant_a=one.variant_b,
        variant_b=one.variant_a,
        difference=replace(was, value=-was.value, low=ends[0], high=ends[1]),
        verdict={"win": "loss", "loss": "win", "tie": "tie"}[one.verdict],  # type: ignore[arg-type]
    )


def _set_beside(
    label: str,
    beside: str,
    sizes: Mapping[str, float],
    relation: Relation,
    both: Sequence[Comparison],
    setting: str,
) -> EqualBytes:
    win, tie, loss = ([one.language for one in both if one.verdict == word] for word in ("win", "tie", "loss"))
    noise = [one.language for one in both if one.inside_floor]
    share = 100 * (sizes[beside] / sizes[label] - 1)
    ours = f"{label} ({_megabytes(sizes[label])})"
    apart = f"{_megabytes(sizes[beside])}, {sentences.number(share, 1, signed=True)}%"
    named = f"{beside} ({apart}{{}})" + (f" ({setting})" if setting else "")
    en, ko = (
        sentences.comparison(ours, named.replace("{}", remark), "bits", win, tie, loss, both[0].unit, noise)
        for remark in REMARKS[relation]
    )
    return EqualBytes(
        label,
        beside,
        setting,
        sizes[label],
        sizes[beside],
        relation,
        tuple(both),
        en.sentence_en,
        ko.sentence_ko,
    )


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.{0 if size >= 1e8 else 1}f} MB"
