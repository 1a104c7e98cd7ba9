"""The noise floors of one setting, from what `none` read or answered twice: which metrics have one, and out of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from results import gap as gaps
from results.estimate import Sample
from results.flips import flips
from results.gap import LN2, Pair, Samples
from results.items import Scores, passage, scores
from results.noise import Floor, Kind, positive_floor, signed_floor
from results.statistics import Array, cluster_share, influences, jackknife, ratio_of

AGAINST = "en"


def find_floors(
    none: Mapping[str, Samples], again: Mapping[str, Samples], setting: str = "", against: str = AGAINST
) -> dict[tuple[str, str], Floor]:
    """(metric, language) -> floor. Metrics: ``log_ratio``, ``kld_share``; where sentences are kept ``extra_bits``,
    ``kld`` and, on the passages that a language shares with English, ``gap``.

    The second reading has the quantities of a fidelity cell: ``nats``, and ``kl_nats`` against the first. It may be of
    some passages only.
    """
    found: list[Floor] = []
    for language, samples in again.items():
        if language not in none:
            continue
        groups, _ = gaps.match({"none": none[language], "again": samples})
        if not groups:
            continue
        pair = gaps.pair(language, samples, none[language], groups)
        columns, among = pair.columns, len(none[language])
        has_sentences = bool(columns[:, 3].all())
        found.append(signed_floor("log_ratio", language, _per_token(columns), setting=setting, among=among))
        if has_sentences:
            found.append(signed_floor("extra_bits", language, _per_sentence(columns), setting=setting, among=among))
        found += _divergences(language, [samples[group].quantities for group in groups], has_sentences, setting)
        if language != against and against in again and against in none and has_sentences:
            found += _gap(language, none, again, setting, against)
    return {(floor.metric, floor.language): floor for floor in found}


def answer_floors(
    first: Mapping[str, Sequence[Sample]],
    again: Mapping[str, Sequence[Sample]],
    task: str,
    kind: Kind,
    against: str = AGAINST,
) -> dict[tuple[str, str], Floor]:
    """(metric, language) -> floor of what is made of the answers to ``task``'s items, some of which were asked again.

    Metrics: ``accuracy`` (a share) and ``margin`` (nats), their changes; on the items that a language shares with
    English ``accuracy_gap`` and ``margin_gap``; and ``flips``, the upper bound of the share of answers that changed.
    """
    found: list[Floor] = []
    for metric, quantity in (("accuracy", "correct"), ("margin", "margin")):
        before = {language: scores(samples, quantity) for language, samples in first.items()}
        moved = {
            language: {
                item: now - before[language][item]
                for item, now in scores(samples, quantity).items()
                if item in before[language]
            }
            for language, samples in again.items()
        }
        for language, of in moved.items():
            found += _of_items(metric, language, of, before[language], task, kind)
            if language != against and against in moved:
                shared = {item: of[item] - moved[against][item] for item in of if item in moved[against]}
                both = {item: score for item, score in before[language].items() if item in before[against]}
                found += _of_items(f"{metric}_gap", language, shared, both, task, kind)
    for language, samples in again.items():
        answers = {sample.group: sample for sample in first[language]}
        twice = [sample for sample in samples if sample.group in answers]
        if not twice:
            continue
        changed = [float(flips([answers[sample.group]], [sample]).changed) for sample in twice]
        share = cluster_share(changed, [passage(sample.group) for sample in twice])
        found.append(Floor("flips", language, share.value if share.high is None else share.high, share, kind, task))
    return {(floor.metric, floor.language): floor for floor in found}


def _of_items(metric: str, language: str, moved: Scores, all_items: Scores, task: str, kind: Kind) -> list[Floor]:
    """The floor of a mean over all items, from those asked again; items of one passage are one cluster."""
    sums: dict[str, list[float]] = {}
    for item, by in moved.items():
        of = sums.setdefault(passage(item), [0.0, 0.0])
        of[0] += by
        of[1] += 1.0
    if not sums:
        return []
    values = influences(ratio_of("ratio"), np.array(list(sums.values())))
    among = len({passage(item) for item in all_items})
    return [signed_floor(metric, language, values, kind, task, among=among)]


def _per_token(columns: Array) -> Array:
    return influences(lambda s: (s[..., 0] - s[..., 1]) / s[..., 2], columns)


def _per_sentence(columns: Array) -> Array:
    return influences(lambda s: (s[..., 0] - s[..., 1]) / (s[..., 3] * LN2), columns)


def _gap(
    language: str, none: Mapping[str, Samples], again: Mapping[str, Samples], setting: str, against: str
) -> list[Floor]:
    cells = {f"{kind} {code}": of[code] for code in (language, against) for kind, of in (("none", none), ("q", again))}
    groups, _ = gaps.match(cells)
    if not groups:
        return []

    def pair(code: str) -> Pair:
        return gaps.pair(code, again[code], none[code], groups)

    among, _ = gaps.match({code: none[code] for code in (language, against)})
    values = gaps.per_passage([pair(language)], [pair(against)])
    return [signed_floor("gap", language, values, setting=setting, among=len(among))]


def _divergences(
    language: str, quantities: list[Mapping[str, float]], has_sentences: bool, setting: str
) -> list[Floor]:
    names = ("kl_nats", "sentences", "entropy_nats")
    columns = np.array([[of.get(name, np.nan) for name in names] for of in quantities])
    scales = {"kld": (1, LN2), "kld_share": (2, 1.0)} if has_sentences else {"kld_share": (2, 1.0)}
    found = []
    for metric, (denominator, unit) in scales.items():
        both = columns[:, [0, denominator]]
        if np.isfinite(both).all() and both[:, 1].sum() > 0:
            contrast = jackknife(ratio_of("ratio"), both * [1.0, unit])
            found.append(positive_floor(metric, language, contrast, setting=setting))
    return found
