"""Method against method: in one language (comparison), and with opposite outcomes in two (crossing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from results import gap as gaps
from results import sentences
from results.cell import Variant
from results.estimate import Estimate
from results.evidence import Method, Setting
from results.gap import LN2, Pair, Samples
from results.multiplicity import holm
from results.sentences import Sentence
from results.statistics import ALPHA, LEVEL, Array, Contrast

Measure = Literal["bits", "kld"]
Verdict = Literal["win", "tie", "loss"]


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b`` in one language, paired by passage. A negative difference: ``a`` is better."""

    a: str
    b: str
    variant_a: Variant
    """The first draw of ``a``."""
    variant_b: Variant
    language: str
    setting: str
    measure: Measure
    """``bits``: extra bits per sentence. ``kld``: KL divergence from `none`, bits per sentence."""
    difference: Estimate
    p: float
    p_adjusted: float
    """Holm over the languages of the two methods and the measure."""
    verdict: Verdict
    """Of ``a``; a tie is a difference that was not established."""
    draws: int = 1
    inside_floor: bool = False
    """Whether the difference lies inside the noise floor: a tie whatever its p."""
    unit: str = "sentence"


@dataclass(frozen=True)
class Crossing:
    """``a`` beats ``b`` in one language and loses to it in another; one of the two is English. Free of scale."""

    a: str
    b: str
    variant_a: Variant
    variant_b: Variant
    better_in: str
    worse_in: str
    setting: str
    gain: Estimate
    """a - b in bits per sentence where ``a`` is better: negative."""
    loss: Estimate
    """a - b in bits per sentence where ``a`` is worse: positive."""
    p: float
    """The larger of the two one-sided p values."""
    p_adjusted: float
    """Holm over all ordered pairs of methods and all languages."""
    sentence_en: str
    sentence_ko: str
    draws: int = 1


def compare_methods(setting: Setting, methods: Sequence[Method], level: float = LEVEL) -> list[Comparison]:
    """Every two methods (the later against the earlier) in every language that both were measured in."""
    found: list[Comparison] = []
    unit = setting.unit
    read = {cell: _cell(samples, "nats") for cell, samples in setting.read.items()}
    fidelity = {cell: _cell(samples, "kl_nats") for cell, samples in setting.fidelity.items()}
    for b, a in combinations(methods, 2):
        found += _compare(setting, a, b, "bits", read, level, unit)
        found += _compare(setting, a, b, "kld", fidelity, level, unit)
    return found


def comparison_sentences(comparisons: Sequence[Comparison]) -> list[Sentence]:
    """One sentence for each two methods and measure: where the first wins, ties and loses."""
    found: dict[tuple[str, str, str, str], list[Comparison]] = {}
    for one in comparisons:
        found.setdefault((one.setting, one.a, one.b, one.measure), []).append(one)
    said = []
    for (setting, a, b, measure), of in found.items():
        win, tie, loss = ([one.language for one in of if one.verdict == word] for word in ("win", "tie", "loss"))
        suffix = f" ({setting})" if setting else ""
        noise = [one.language for one in of if one.inside_floor]
        said.append(sentences.comparison(a, b + suffix, measure, win, tie, loss, of[0].unit, noise))
    return said


def find_crossings(
    setting: Setting,
    methods: Sequence[Method],
    pairs: Mapping[tuple[str, str], Pair],
    against: str,
    level: float = LEVEL,
) -> tuple[list[Crossing], int]:
    """The crossings established after Holm over all tested, both sides outside the noise floor; and how many tested.

    Both orders of every two methods are tested: which of them should be better in English is not known beforehand.
    """
    tested: list[tuple[Method, Method, str, Contrast, Contrast, int, float]] = []
    for first, second in combinations(methods, 2):
        drawn = same_draws(first, second)
        base = _difference(drawn, pairs, against)
        languages = list(dict.fromkeys(language for _, language in pairs if language != against))
        for language in languages:
            other = _difference(drawn, pairs, language)
            if base is None or other is None:
                continue
            for a, b, gain, loss in ((first, second, base, other), (second, first, _negated(base), _negated(other))):
                tested.append((a, b, language, gain, loss, len(drawn), gaps.crossing(gain, loss)))
    adjusted = holm([p for *_, p in tested])
    found = []
    for (a, b, language, gain, loss, draws, p), p_adjusted in zip(tested, adjusted, strict=True):
        noise = [setting.is_noise("extra_bits", code, side.value) for code, side in ((against, gain), (language, loss))]
        if p_adjusted > ALPHA or any(noise):
            continue
        better, worse = gain.interval(level), loss.interval(level)
        versus = b.label + (f" ({setting.name})" if setting.name else "")
        sentence_en, sentence_ko = sentences.crossing(a.label, versus, against, language, better, worse, setting.unit)
        found.append(
            Crossing(
                a=a.label,
                b=b.label,
                variant_a=a.draws[0],
                variant_b=b.draws[0],
                better_in=against,
                worse_in=language,
                setting=setting.name,
                gain=better,
                loss=worse,
                p=p,
                p_adjusted=p_adjusted,
                sentence_en=sentence_en,
                sentence_ko=sentence_ko,
                draws=draws,
            )
        )
    return found, len(tested)


def same_draws(a: Method, b: Method) -> list[tuple[Variant, Variant]]:
    """Both methods draw by draw; one that uses no calibration text stands beside every draw of the other."""
    if len(a.draws) == 1 and a.draws[0].calibration is None:
        return [(a.draws[0], variant) for variant in b.draws]
    if len(b.draws) == 1 and b.draws[0].calibration is None:
        return [(variant, b.draws[0]) for variant in a.draws]
    second = {variant.draw: variant for variant in b.draws}
    return [(variant, second[variant.draw]) for variant in a.draws if variant.draw in second]


def _difference(
    drawn: Sequence[tuple[Variant, Variant]], pairs: Mapping[tuple[str, str], Pair], language: str
) -> Contrast | None:
    """Bits per sentence, a - b; None where one of the cells was not measured."""
    keys = [((a.key, language), (b.key, language)) for a, b in drawn]
    if not keys or not all(a in pairs and b in pairs for a, b in keys):
        return None
    return gaps.difference([pairs[a] for a, _ in keys], [pairs[b] for _, b in keys])


def _compare(
    setting: Setting,
    a: Method,
    b: Method,
    measure: Measure,
    cells: Mapping[tuple[str, str], _Cell],
    level: float,
    unit: str,
) -> list[Comparison]:
    drawn = same_draws(a, b)
    metric = {"bits": "extra_bits", "kld": "kld"}[measure]
    contrasts: dict[str, Contrast] = {}
    for language in setting.languages:
        keys = [((x.key, language), (y.key, language)) for x, y in drawn]
        if keys and all(x in cells and y in cells for x, y in keys):
            contrast = _over_groups([(cells[x], cells[y]) for x, y in keys])
            if contrast is not None:
                contrasts[language] = contrast
    unadjusted = {language: contrast.p() for language, contrast in contrasts.items()}
    adjusted = holm(list(unadjusted.values()))
    return [
        Comparison(
            a.label,
            b.label,
            a.draws[0],
            b.draws[0],
            language,
            setting.name,
            measure,
            contrast.interval(level),
            unadjusted[language],
            p,
            "tie" if p > ALPHA or noise else "win" if contrast.value < 0 else "loss",
            len(drawn),
            noise,
            unit,
        )
        for (language, contrast), p in zip(contrasts.items(), adjusted, strict=True)
        for noise in (setting.is_noise(metric, language, contrast.value),)
    ]


class _Cell(NamedTuple):
    """One cell as arrays, made once: every other method of a run is compared with it."""

    samples: Samples
    places: dict[str, int]
    """Group -> row."""
    columns: Array
    """Float ``(groups, 2)``: what is compared, and sentences."""


def _cell(samples: Samples, quantity: str) -> _Cell:
    groups = sorted(samples)
    rows = [(samples[g].quantities[quantity], samples[g].quantities.get("sentences", 0.0)) for g in groups]
    places = {group: place for place, group in enumerate(groups)}
    return _Cell(samples, places, np.array(rows, dtype=float).reshape(-1, 2))


def _over_groups(draws: Sequence[tuple[_Cell, _Cell]]) -> Contrast | None:
    """sum(a - b) / (S ln 2) over the passages in all cells; None where there are none or no sentences."""
    columns = [np.column_stack([x[:, 0], y]) for x, y in _shared(draws)]
    if not all(of.size and of[:, 2].all() for of in columns):
        return None
    return gaps.over_draws(lambda s: (s[..., 0] - s[..., 1]) / (s[..., 2] * LN2), columns)


def _shared(draws: Sequence[tuple[_Cell, _Cell]]) -> list[tuple[Array, Array]]:
    """The columns of every cell on the groups that all have with equal sentence counts."""
    cells = [cell for both in draws for cell in both]
    first = cells[0]
    if all(one.places == first.places and np.array_equal(one.columns[:, 1], first.columns[:, 1]) for one in cells[1:]):
        return [(x.columns, y.columns) for x, y in draws]
    groups, _ = gaps.match({str(i): cell.samples for i, cell in enumerate(cells)})
    return [(x.columns[[x.places[g] for g in groups]], y.columns[[y.places[g] for g in groups]]) for x, y in draws]


def _negated(contrast: Contrast) -> Contrast:
    return Contrast(-contrast.value, contrast.se, contrast.df, contrast.clusters, contrast.method, contrast.n)
