"""Which variant to take: by size and language, from the Pareto front, no further than the comparisons establish.

Variants whose bytes differ by little compete under one limit. Under each limit the one is taken that loses least, that
nobody under the limit is established to beat, and that is established to beat what is taken under the limit below: a
larger variant that cannot be told apart from a smaller one is no advice. Two languages are spoken of: Korean where it
was measured, and the one that loses most under the most variants.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from results.claim import Change
from results.contests import Comparison
from results.estimate import Estimate
from results.sentences import Sentence, bounds, decimals_of, language_en, language_ko, number, unit_of

FOCUS = "ko"
ALIKE = 1.03
"""Bytes that differ by less than this factor compete under one limit."""
MOST_NAMES = 5


@dataclass(frozen=True)
class Advice:
    """Take ``variant`` where less than ``limit`` bytes are allowed and ``language`` matters."""

    language: str
    setting: str
    limit: float
    variant: str
    bytes: float
    change: Change
    beats: tuple[str, ...]
    """Variants under the limit that it is established to beat."""
    ties: tuple[str, ...]
    """Variants under the limit from which it cannot be told apart."""
    sentence_en: str
    sentence_ko: str


@dataclass(frozen=True)
class _Candidate:
    label: str
    bytes: float
    change: Change
    lost: Estimate


def advise(
    changes: Iterable[Change], comparisons: Sequence[Comparison], sizes: Mapping[str, float], setting: str
) -> list[Advice]:
    """The advice of one setting, the smallest limit of each language first.

    ``changes``: one for each method and language; ``comparisons``: of the same methods, by label; ``sizes``: label ->
    total bytes. Methods without a size or without bits per sentence are left out.
    """
    measured: dict[str, list[_Candidate]] = {}
    for change in changes:
        lost = change.extra_bits_per_sentence
        if lost is not None and change.label in sizes:
            found = _Candidate(change.label, sizes[change.label], change, lost)
            measured.setdefault(change.language, []).append(found)
    return [
        one
        for language in focus(measured)
        for one in _staircase(language, measured[language], _outcomes(comparisons, language), setting)
    ]


def focus(measured: Mapping[str, Sequence[_Candidate]]) -> list[str]:
    """Korean where it was measured, and the language that loses most under the most variants."""
    worst: dict[str, tuple[float, str]] = {}
    for language, candidates in measured.items():
        for one in candidates:
            if one.label not in worst or one.lost.value > worst[one.label][0]:
                worst[one.label] = (one.lost.value, language)
    hardest = Counter(language for _, language in worst.values()).most_common(1)
    return list(dict.fromkeys([*([FOCUS] if FOCUS in measured else []), *(language for language, _ in hardest)]))


def _outcomes(comparisons: Sequence[Comparison], language: str) -> dict[tuple[str, str], str]:
    """(a, b) -> what was established of ``a`` against ``b``: ``win`` or ``loss``; what is absent is a tie."""
    found: dict[tuple[str, str], str] = {}
    for one in comparisons:
        if one.language == language and one.measure == "bits" and one.verdict != "tie":
            found[one.a, one.b] = one.verdict
            found[one.b, one.a] = "loss" if one.verdict == "win" else "win"
    return found


def _staircase(
    language: str, candidates: Sequence[_Candidate], outcomes: Mapping[tuple[str, str], str], setting: str
) -> list[Advice]:
    classes: list[list[_Candidate]] = []
    for one in sorted(candidates, key=lambda it: (it.bytes, it.lost.value)):
        if classes and one.bytes <= ALIKE * classes[-1][0].bytes:
            classes[-1].append(one)
        else:
            classes.append([one])
    pool: list[_Candidate] = []
    steps: list[Advice] = []
    taken: _Candidate | None = None
    for place, of in enumerate(classes):
        pool += of
        unbeaten = [
            one
            for one in pool
            if _on_front(one, pool) and not any(outcomes.get((one.label, other.label)) == "loss" for other in pool)
        ]
        if taken is not None:
            unbeaten = [one for one in unbeaten if outcomes.get((one.label, taken.label)) == "win"]
        if not unbeaten:
            continue
        taken = min(unbeaten, key=lambda it: (it.lost.value, it.bytes))
        after = classes[place + 1][0].bytes if place + 1 < len(classes) else None
        steps.append(_advice(language, taken, pool, outcomes, limit_above(of[-1].bytes, after), setting))
    return steps


def _on_front(one: _Candidate, pool: Sequence[_Candidate]) -> bool:
    return not any(
        other.bytes <= one.bytes
        and other.lost.value <= one.lost.value
        and (other.bytes, other.lost.value) != (one.bytes, one.lost.value)
        for other in pool
    )


def limit_above(largest: float, after: float | None) -> float:
    """The roundest number of bytes above ``largest`` and not above ``after``, the next size there is.

    >>> limit_above(392_300_000, None), limit_above(375_100_000, 377_000_000)
    (400000000.0, 376000000.0)
    """
    step = max(1.0, 10.0 ** math.floor(math.log10(max(largest, 1.0))) / 10)
    while True:
        limit = (math.floor(largest / step) + 1) * step
        if after is None or limit <= after or step <= 1:
            return float(round(limit))
        step /= 10


def size_words(size: float) -> str:
    """Bytes in the unit that suits them, with as many decimals as are no zeros, two at least above a megabyte.

    >>> size_words(400_000_000.0), size_words(2_400_000_000.0), size_words(1_234.0)
    ('0.40 GB', '2.40 GB', '1.234 KB')
    """
    unit, name = (1e9, "GB") if size >= 1e8 else (1e6, "MB") if size >= 1e5 else (1e3, "KB")
    text = f"{size / unit:.9f}".rstrip("0")
    return f"{max(text, f'{size / unit:.2f}', key=len)} {name}"


def _advice(
    language: str,
    taken: _Candidate,
    pool: Sequence[_Candidate],
    outcomes: Mapping[tuple[str, str], str],
    limit: float,
    setting: str,
) -> Advice:
    others = sorted((one for one in pool if one is not taken), key=lambda it: it.lost.value)
    beats = tuple(one.label for one in others if outcomes.get((taken.label, one.label)) == "win")
    ties = tuple(one.label for one in others if one.label not in beats)
    said = sentence(language, taken.label, taken.bytes, taken.change, beats, ties, limit, setting)
    return Advice(language, setting, limit, taken.label, taken.bytes, taken.change, beats, ties, *said)


def sentence(
    language: str,
    label: str,
    size: float,
    change: Change,
    beats: Sequence[str],
    ties: Sequence[str],
    limit: float,
    setting: str = "",
) -> Sentence:
    en, ko = language_en(language), language_ko(language)
    suffix = f" ({setting})" if setting else ""
    room, weighs = size_words(limit), f"{label} ({size / 1e6:,.{0 if size >= 1e8 else 1}f} MB)"
    lost_en, lost_ko = _lost(change)
    if not beats and not ties:
        return Sentence(
            f"Under {room}, for {en}{suffix}, only {weighs} fits. {lost_en}",
            f"{room} 미만, {ko}{suffix}: 들어가는 것은 {weighs}뿐입니다. {lost_ko}",
        )
    if not beats:
        return Sentence(
            f"Under {room}, for {en}{suffix}, nothing is established to be best: {weighs} comes out first. {lost_en} "
            f"Not told apart from: {_listed(ties, 'and {} more')}.",
            f"{room} 미만, {ko}{suffix}: 가장 낫다고 확인된 것이 없습니다. {weighs}의 손실이 가장 작게 나왔습니다. "
            f"{lost_ko} "
            f"차이가 확인되지 않은 상대: {_listed(ties, '그 밖 {}개')}.",
        )
    open_en = f" Not told apart from: {_listed(ties, 'and {} more')}." if ties else ""
    open_ko = f" 차이가 확인되지 않은 상대: {_listed(ties, '그 밖 {}개')}." if ties else ""
    return Sentence(
        f"Under {room}, for {en}{suffix}, take {weighs}. {lost_en} Established better than: "
        f"{_listed(beats, 'and {} more')}.{open_en}",
        f"{room} 미만, {ko}{suffix}: {weighs} 선택을 권합니다. {lost_ko} 더 낫다고 확인된 상대: "
        f"{_listed(beats, '그 밖 {}개')}.{open_ko}",
    )


def _lost(change: Change) -> tuple[str, str]:
    bits = change.extra_bits_per_sentence
    assert bits is not None  # only such changes become candidates
    per_en, per_ko = unit_of(change.unit)
    if not change.established:
        value, within = number(bits.value, decimals_of(bits), True), bounds(bits)
        return (
            f"No loss is established: {value} bits per {per_en}{within}.",
            f"손실은 확인되지 않았습니다: {per_ko}당 {value}비트{within}.",
        )
    loses = bits.value >= 0
    value, within = number(abs(bits.value), decimals_of(bits)), bounds(bits, flip=not loses)
    return (
        f"It {'loses' if loses else 'gains'} {value} bits per {per_en}{within}.",
        f"{per_ko}당 {value}비트를 {'잃습니다' if loses else '얻습니다'}{within}.",
    )


def _listed(names: Sequence[str], more: str) -> str:
    """Names may hold commas, so semicolons part them."""
    left = len(names) - MOST_NAMES
    return "; ".join([*names[:MOST_NAMES], *([more.format(left)] if left > 0 else [])])
