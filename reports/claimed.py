"""Claims as frames and sentences: the only file here that knows what a claim looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from reports.words import Words
from results.advice import Advice
from results.claim import Change, Claims, Gap
from results.estimate import Estimate
from results.gap import Decomposition
from results.labels import method_key
from results.noise import Floor

MOST_COMPARISONS = 6
"""Comparisons that the verdict repeats; all of them stand in their section."""

MOST_LIMITS = 2
"""Limits of size for which a language is given advice."""


class Said(Protocol):
    """Anything that carries its words in both languages."""

    @property
    def sentence_en(self) -> str: ...
    @property
    def sentence_ko(self) -> str: ...


@dataclass(frozen=True)
class Sentence:
    text: str
    kind: str = ""
    """``established``, ``depends``, ``crossing``, ``failed`` or nothing: how it is marked."""


def changes(claims: Claims) -> pd.DataFrame:
    """One row for each variant and language, and for each method of several draws: what was lost, with bounds."""
    methods = _methods(claims.method_changes)
    rows = [
        {
            **_subject(change, methods),
            "p_adjusted": change.p_adjusted,
            **bounds("extra_bits", change.extra_bits_per_sentence),
            **bounds("log_ratio", change.log_ratio),
            **bounds("kld_bits", change.kld),
            **_spread(change),
            "established": change.established,
            "extra_bits_band": _band(change.bits_floor),
            "log_ratio_band": _band(change.floor),
        }
        for change in (*claims.method_changes, *claims.changes)
    ]
    texts = [*_SUBJECT, "p_adjusted", *_SPREAD, "established", "extra_bits_band", "log_ratio_band"]
    return _frame(rows, texts, ["extra_bits", "log_ratio", "kld_bits"])


def gaps(claims: Claims, words: Words) -> pd.DataFrame:
    """One row for each variant and language: the gap on three scales, its verdict and its decomposition."""
    methods = _methods(claims.method_gaps)
    rows = [
        {
            **_subject(gap, methods),
            "against": gap.against,
            **bounds("gap", gap.headline),
            **bounds("per_token", gap.per_token),
            **bounds("relative", gap.relative),
            "p_adjusted": gap.p_adjusted,
            "verdict": gap.verdict,
            "not_ruled_out": gap.largest_not_ruled_out,
            "decomposition": _decomposition(gap.decomposition, words),
            **_spread(gap),
            "gap_band": _band(gap.floor),
        }
        for gap in (*claims.method_gaps, *claims.gaps)
    ]
    return _frame(
        rows,
        [*_SUBJECT, "against", "verdict", "p_adjusted", "not_ruled_out", "decomposition", *_SPREAD, "gap_band"],
        ["gap", "per_token", "relative"],
    )


def gaps_by_source(claims: Claims) -> pd.DataFrame:
    """One row for each gap and language that passages were first written in: the mean gap over those passages."""
    methods = _methods(claims.method_gaps)
    rows = [
        {
            **_subject(gap, methods),
            "against": gap.against,
            "source_language": source,
            "passages": estimate.clusters,
            "gap": estimate.value,
            "unit": gap.unit,
        }
        for gap in (*claims.method_gaps, *claims.gaps)
        for source, estimate in gap.by_source_language.items()
    ]
    return _frame(rows, [*_SUBJECT, "against", "source_language", "passages", "gap", "unit"], [])


def answers(claims: Claims) -> pd.DataFrame:
    """One row for each variant, task and language: accuracy beside that of `none`, flips, margins and their gap."""
    bands = {
        "change_band": "accuracy",
        "margin_band": "margin",
        "gap_band": "accuracy_gap",
        "margin_gap_band": "margin_gap",
    }
    rows = [
        {
            "key": one.variant.key,
            "variant": one.label,
            "task": one.task,
            "setting": one.task,
            "language": one.language,
            "items": one.flips.items,
            "accuracy_none": one.accuracy_none,
            "accuracy": one.accuracy,
            "at_chance": one.at_chance,
            "lost": one.flips.lost,
            "gained": one.flips.gained,
            "moved": one.flips.moved,
            "p_adjusted": one.p_adjusted,
            **bounds("change", one.change),
            **bounds("margin", one.margin),
            "p_margin": one.p_margin_adjusted,
            **bounds("gap", one.gap),
            "p_gap": one.p_gap_adjusted if one.gap else None,
            **bounds("margin_gap", one.margin_gap),
            "p_margin_gap": one.p_margin_gap_adjusted if one.margin_gap else None,
            "in_plots": True,
            **{column: _band(one.floors.get(metric)) for column, metric in bands.items()},
        }
        for one in claims.answers
    ]
    counts = ["items", "accuracy_none", "accuracy", "at_chance", "lost", "gained", "moved", "p_adjusted"]
    texts = ["key", "variant", "task", "setting", "language", *counts, "p_margin", "p_gap", "p_margin_gap", "in_plots"]
    return _frame(rows, [*texts, *bands], ["change", "margin", "gap", "margin_gap"])


def noise_floors(claims: Claims) -> pd.DataFrame:
    """One row for each metric and language in which `none` was read twice: the band inside which nothing is claimed."""
    rows = [
        {
            "metric": floor.metric,
            "language": floor.language,
            "setting": floor.setting,
            "kind": floor.kind,
            "band": floor.band,
            **bounds("mean", floor.mean),
            "clusters": floor.mean.clusters,
            "is_centred": floor.is_centred,
        }
        for floor in claims.floors
    ]
    return _frame(rows, ["metric", "language", "setting", "kind", "band", "clusters", "is_centred"], ["mean"])


def comparisons(claims: Claims) -> pd.DataFrame:
    """One row for each two methods, measure and language; a negative difference: ``a`` is better."""
    rows = [
        {
            "a": one.a,
            "b": one.b,
            "measure": one.measure,
            "language": one.language,
            "setting": one.setting,
            "draws": one.draws,
            "p_adjusted": one.p_adjusted,
            "outcome": one.verdict,
            **bounds("difference", one.difference),
        }
        for one in claims.comparisons
    ]
    texts = ["a", "b", "measure", "language", "setting", "draws", "p_adjusted", "outcome"]
    return _frame(rows, texts, ["difference"])


def points(change: pd.DataFrame, against: str = "en") -> pd.DataFrame:
    """Each language's change beside that of ``against`` under the same variant."""
    ends = ("", "_low", "_high")
    rows = change[change["in_plots"].astype(bool)].dropna(subset=["extra_bits"])  # an empty column holds objects
    same = ["variant", "setting"]
    base = rows[rows["language"] == against][[*same, *(f"extra_bits{end}" for end in ends)]]
    base = base.rename(columns={f"extra_bits{end}": f"x{end}" for end in ends}).drop_duplicates(same)
    others = rows[rows["language"] != against][["variant", "setting", "language", *(f"extra_bits{e}" for e in ends)]]
    others = others.rename(columns={f"extra_bits{end}": f"y{end}" for end in ends})
    return others.merge(base, on=same, how="inner")


def worst_languages(change: pd.DataFrame) -> Mapping[str, str]:
    """Variant -> the language that loses most extra bits per sentence under it, in the first setting."""
    rows = first_setting(change).dropna(subset=["extra_bits"])
    return {
        str(variant): str(of["language"].iloc[int(of["extra_bits"].argmax())])
        for variant, of in rows.groupby("variant", sort=False)
    }


def worst_of_all(worst: Mapping[str, str]) -> str | None:
    """The language that is worst under the most variants; the first met among equals."""
    return Counter(worst.values()).most_common(1)[0][0] if worst else None


def first_setting(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["setting"] == frame["setting"].iloc[0]] if len(frame) else frame


def verdicts(claims: Claims, words: Words) -> list[Sentence]:
    """What to know first: what to take; crossings, which hold on any scale; what each variant costs the language it
    hits hardest; methods compared; the largest gap of each variant."""
    said = advice(claims, words) + [Sentence(_say(crossing, words), "crossing") for crossing in claims.crossings]
    said += [Sentence(f"{words['hardest_hit']}: {_say(change, words)}") for change in _hardest_hit(claims)]
    compared = compared_in(claims, "bits", words)
    said += compared[:MOST_COMPARISONS]
    drawn = _methods(claims.method_gaps)
    largest: dict[tuple[str, str], Gap] = {}
    for gap in [*claims.method_gaps, *(gap for gap in claims.gaps if method_key(gap.variant) not in drawn)]:
        key = (gap.label, gap.setting)
        if gap.verdict != "not established" and (
            key not in largest or abs(gap.headline.value) > abs(largest[key].headline.value)
        ):
            largest[key] = gap
    said += [gap_sentence(gap, words) for gap in largest.values()]
    left = len(compared[MOST_COMPARISONS:])
    if left:
        said.append(Sentence(words.say("more_comparisons", count=left)))
    return said


def advice(claims: Claims, words: Words) -> list[Sentence]:
    """What to take under the largest limits of each language, the largest first."""
    by_language: dict[tuple[str, str], list[Advice]] = {}
    for one in claims.advice:
        by_language.setdefault((one.language, one.change.variant.weights), []).append(one)
    return [
        Sentence(_say(one, words), "established" if one.beats else "")
        for of in by_language.values()
        for one in of[: -MOST_LIMITS - 1 : -1]
    ]


def _hardest_hit(claims: Claims) -> list[Change]:
    """For each variant, or its method over draws, the change in the language that loses most bits per sentence."""
    drawn = _methods(claims.method_changes)
    hardest: dict[tuple[str, str], Change] = {}
    for change in [*claims.method_changes, *(it for it in claims.changes if method_key(it.variant) not in drawn)]:
        key, bits = (change.label, change.setting), change.extra_bits_per_sentence
        before = hardest[key].extra_bits_per_sentence if key in hardest else None
        if bits is not None and (before is None or bits.value > before.value):
            hardest[key] = change
    return list(hardest.values())


def gap_sentences(claims: Claims, words: Words) -> list[Sentence]:
    return [gap_sentence(gap, words) for gap in (*claims.method_gaps, *claims.gaps)]


def gap_sentence(gap: Gap, words: Words) -> Sentence:
    kinds = {"established": "established", "depends on the scale": "depends"}
    return Sentence(_say(gap, words), kinds.get(gap.verdict, ""))


def compared_in(claims: Claims, measure: str, words: Words) -> list[Sentence]:
    """The sentences about two methods on one measure."""
    keys = dict.fromkeys((one.setting, one.a, one.b, one.measure) for one in claims.comparisons)
    both = zip(keys, claims.comparison_sentences, strict=True)
    return [Sentence(_say(sentence, words)) for key, sentence in both if key[3] == measure]


def answer_sentences(claims: Claims, words: Words) -> list[Sentence]:
    return [Sentence(_say(one, words)) for one in claims.answers]


def open_questions(claims: Claims, words: Words) -> list[Sentence]:
    return [Sentence(_say(item, words)) for item in claims.not_established]


def claim_notes(claims: Claims, words: Words) -> list[str]:
    return [_say(note, words) for note in claims.notes]


_SPREAD = ["passage_sd", "draw_sd", "unit", "inside_floor"]


def _spread(claim: Change | Gap) -> dict[str, Any]:
    """SD over passages and, of a method, over draws; what the bits are counted per; whether it is noise."""
    return {name: getattr(claim, name) for name in _SPREAD}


def _band(floor: Floor | None) -> float | None:
    return None if floor is None else floor.band


_SUBJECT = ["key", "variant", "model", "language", "setting", "draws", "in_plots"]


def _subject(claim: Change | Gap, methods: Collection[str]) -> dict[str, Any]:
    return {
        "key": claim.variant.key,
        "variant": claim.label,
        "model": claim.variant.model,
        "language": claim.language,
        "setting": claim.setting,
        "draws": claim.draws,
        # A plot shows a method over its draws, not each draw beside it.
        "in_plots": claim.draws > 1 or method_key(claim.variant) not in methods,
    }


def _methods(claims: Iterable[Change | Gap]) -> set[str]:
    return {method_key(claim.variant) for claim in claims}


def _say(claim: Said, words: Words) -> str:
    return claim.sentence_ko if words.language == "ko" else claim.sentence_en


def _decomposition(found: Decomposition | None, words: Words) -> str | None:
    if found is None:
        return None
    return words.say("decomposed", tokens=f"{found.tokens:.2f}", per_token=f"{found.per_token:.2f}")


def bounds(name: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _frame(rows: list[dict[str, Any]], texts: list[str], estimates: list[str]) -> pd.DataFrame:
    numbers = [column for name in estimates for column in (name, f"{name}_low", f"{name}_high")]
    return pd.DataFrame(rows, columns=[*texts, *numbers]).astype(dict.fromkeys(numbers, float))
