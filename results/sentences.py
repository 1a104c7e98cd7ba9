"""Every statement of a claim as an English and a Korean sentence. Numbers come in finished; nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from results.estimate import Estimate
from results.noise import Floor

LANGUAGES = {
    "en": ("English", "영어"),
    "ko": ("Korean", "한국어"),
    "ja": ("Japanese", "일본어"),
    "zh": ("Chinese", "중국어"),
    "fr": ("French", "프랑스어"),
    "es": ("Spanish", "스페인어"),
    "vi": ("Vietnamese", "베트남어"),
    "id": ("Indonesian", "인도네시아어"),
    "de": ("German", "독일어"),
    "pt": ("Portuguese", "포르투갈어"),
    "ru": ("Russian", "러시아어"),
    "ar": ("Arabic", "아랍어"),
    "th": ("Thai", "태국어"),
    "hi": ("Hindi", "힌디어"),
    "tr": ("Turkish", "튀르키예어"),
    "it": ("Italian", "이탈리아어"),
}
"""Code -> English and Korean name. Another code stands for itself."""


class Sentence(NamedTuple):
    sentence_en: str
    sentence_ko: str


def language_en(code: str) -> str:
    return LANGUAGES.get(code, (code, code))[0]


def language_ko(code: str) -> str:
    return LANGUAGES.get(code, (code, f"{code} 언어"))[1]  # all end in a vowel: they take 는 and 가


UNITS = {"sentence": ("sentence", "문장"), "document": ("document", "문서")}
"""What bits are counted per: an aligned sentence, or a document whose sentences nobody counted."""
IN_BITS = ("extra_bits", "gap", "kld")
"""Metrics whose noise floor is in bits per unit."""
IN_NATS = ("margin", "margin_gap")
IN_POINTS = ("accuracy", "accuracy_gap")
"""Of answers to items; points of a hundred."""
READ_AGAIN = {"batch shape": ("in other batches", "다른 배치로"), "re-run": ("the same way", "같은 방식으로")}


def unit_of(unit: str) -> tuple[str, str]:
    return UNITS[unit]


def number(value: float, decimals: int = 1, signed: bool = False) -> str:
    """A number with a real minus sign; never a negative zero."""
    text = f"{abs(value):.{decimals}f}"
    is_zero = float(text) == 0
    if value < 0 and not is_zero:
        return f"−{text}"
    return f"+{text}" if signed and not is_zero else text


def small(value: float) -> str:
    """Two significant digits, for bands and other numbers that may be tiny."""
    return f"{value:.2g}".replace("-", "−")


def inside(floor: Floor | None, unit: str = "sentence") -> tuple[str, str]:
    """A remark that a value lies inside the noise floor; empty without one, and where only 0 itself lies inside."""
    if floor is None or not floor.band:
        return "", ""
    size, in_en, per_ko, in_ko = floor.band, "", "", ""
    if floor.metric in IN_BITS:
        in_en, per_ko, in_ko = f" bits per {UNITS[unit][0]}", f"{UNITS[unit][1]}당 ", "비트"
    elif floor.metric in IN_NATS:
        in_en, per_ko, in_ko = " nats per item", "문항당 ", "nat"
    elif floor.metric in IN_POINTS:
        size, in_en, in_ko = 100 * floor.band, " points", "포인트"
    how_en, how_ko = READ_AGAIN[floor.kind]
    return (
        f" (inside the noise floor: `none` read again {how_en} gives up to ±{small(size)}{in_en})",
        f"(측정 잡음 수준 이내: `none`을 {how_ko} 다시 읽으면 {per_ko}±{small(size)}{in_ko}까지 달라짐)",
    )


def decimals_of(estimate: Estimate) -> int:
    """So many decimals, 3 at most, that half the interval shows two digits; 1 where it has no width to speak of."""
    if estimate.low is None or estimate.high is None:
        return 1
    half = (estimate.high - estimate.low) / 2
    if half <= 1e-9 * max(1.0, abs(estimate.value)):
        return 1
    return min(3, max(0, 1 - math.floor(math.log10(half))))


def bounds(estimate: Estimate, flip: bool = False) -> str:
    """`` [low, high]``; empty without an interval. ``flip`` turns signs and order, for "less" sentences."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = (-estimate.high, -estimate.low) if flip else (estimate.low, estimate.high)
    decimals = decimals_of(estimate)
    return f" [{number(low, decimals)}, {number(high, decimals)}]"


def codes(languages: Sequence[str]) -> str:
    return ", ".join(languages)


def change(
    label: str,
    language: str,
    bits: Estimate | None,
    ratio: Estimate,
    established: bool,
    unit: str = "sentence",
    floor: Floor | None = None,
) -> Sentence:
    """What one language lost under one variant: ``bits`` per ``unit``, where units are kept, and PPL ratio.

    ``floor``: the noise floor that the loss lies inside, if that is why it is not established.
    """
    en, ko = language_en(language), language_ko(language)
    per_en, per_ko = unit_of(unit)
    ppl = f"×{ratio.value:.3f}"
    if ratio.low is not None and ratio.high is not None:
        ppl += f" [{ratio.low:.3f}, {ratio.high:.3f}]"
    if not established:
        more_en, more_ko = "", ""
        if bits is not None:
            value = number(bits.value, decimals_of(bits), True)
            more_en = f"{value} bits per {per_en}{bounds(bits)}; "
            more_ko = f"{per_ko}당 {value}비트{bounds(bits)}, "
        why_en, why_ko = inside(floor, unit)
        return Sentence(
            f"{label}: no change established in {en}{why_en}: {more_en}perplexity {ppl}.",
            f"{label}: {ko}의 변화는 확인되지 않았습니다{why_ko}. {more_ko}퍼플렉시티 {ppl}.",
        )
    if bits is None:
        return Sentence(f"{label}: {en} perplexity {ppl}.", f"{label}: {ko} 퍼플렉시티 {ppl}.")
    loses = bits.value >= 0
    value = number(abs(bits.value), decimals_of(bits))
    interval = bounds(bits, flip=not loses)
    return Sentence(
        f"{label}: {en} {'loses' if loses else 'gains'} {value} bits per {per_en}{interval}; perplexity {ppl}.",
        f"{label}: {ko}는 {per_ko}당 {value}비트를 {'잃습니다' if loses else '얻습니다'}{interval}. 퍼플렉시티 {ppl}.",
    )


def gap(
    label: str,
    language: str,
    against: str,
    headline: Estimate,
    point: tuple[float, float],
    factors: tuple[float, float] | None,
    verdict: str,
    failing: Sequence[str],
    not_ruled_out: float | None,
    unit: str = "sentence",
    floor: Floor | None = None,
) -> Sentence:
    """The gap of one language: ``point`` the changes of (language, against), ``factors`` (tokens, damage per token),
    ``failing`` the scales (``per token``, ``relative``) on which it is not established or has the other sign,
    ``floor`` the noise floor it lies inside, if that is why it is not established."""
    per_en, per_ko = unit_of(unit)
    more = headline.value >= 0
    decimals = decimals_of(headline)
    value = number(abs(headline.value), decimals)
    interval = bounds(headline, flip=not more)
    en, ko = language_en(language), language_ko(language)
    base_en, base_ko = language_en(against), language_ko(against)
    both = (number(point[0], decimals), number(point[1], decimals))
    claim_en = (
        f"{en} loses {value} bits {'more' if more else 'less'} per {per_en} than {base_en}{interval} "
        f"({en} {both[0]}, {base_en} {both[1]})"
    )
    claim_ko = (
        f"{ko}는 {base_ko}보다 {per_ko}당 {value}비트를 {'더' if more else '덜'} 잃습니다{interval} "
        f"({ko} {both[0]}, {base_ko} {both[1]})"
    )
    if verdict == "established":
        why_en = f": {factors[0]:.2f}× the tokens times {factors[1]:.2f}× the damage per token" if factors else ""
        why_ko = f" 토큰 수가 {factors[0]:.2f}배, 토큰당 손상이 {factors[1]:.2f}배입니다." if factors else ""
        return Sentence(
            f"{label}: {claim_en}{why_en}. Established on every scale.",
            f"{label}: {claim_ko}.{why_ko} 모든 척도에서 확인되었습니다.",
        )
    if verdict == "depends on the scale":
        share_en, share_ko = _depends(more, failing, factors, unit)
        return Sentence(
            f"{label}: {claim_en}, but this depends on the scale: {share_en}.",
            f"{label}: {claim_ko}. 그러나 척도에 따라 다릅니다. {share_ko}.",
        )
    shown = number(headline.value, decimals, signed=True)
    plain = bounds(headline)
    if not_ruled_out is None:
        return Sentence(
            f"{label}: no gap between {en} and {base_en} can be established from one passage "
            f"({shown} bits per {per_en}).",
            f"{label}: 지문 하나로는 {ko}와 {base_ko}의 격차를 확인할 수 없습니다({per_ko}당 {shown}비트).",
        )
    up_to = number(not_ruled_out, decimals)
    why_en, why_ko = inside(floor, unit)
    return Sentence(
        f"{label}: a gap between {en} and {base_en} is not established{why_en}: {shown} bits per {per_en}{plain}; "
        f"the largest gap not ruled out is {up_to}.",
        f"{label}: {ko}와 {base_ko}의 격차는 확인되지 않았습니다{why_ko}. {per_ko}당 {shown}비트{plain}이며, "
        f"배제하지 못한 가장 큰 격차는 {up_to}비트입니다.",
    )


def _depends(more: bool, failing: Sequence[str], factors: tuple[float, float] | None, unit: str) -> tuple[str, str]:
    per_en, per_ko = unit_of(unit)
    side_en, side_ko = ("more", "더") if more else ("less", "덜")
    if not failing:
        return (
            "not on all three scales at once after Holm's correction",
            "홀름 보정 뒤에는 세 척도 모두에서 한꺼번에 확인되지 않습니다",
        )
    scales_en = {"per token": "per token", "relative": "relative to what the text cost under `none`"}
    scales_ko = {"per token": "토큰당으로는", "relative": "`none`의 비용에 견주어서는"}
    en = f"{side_en} per {per_en}, not {' and not '.join(scales_en[name] for name in failing)}"
    ko = (
        f"{per_ko}당으로는 {side_ko} 잃지만, {', '.join(scales_ko[name] for name in failing)} "
        f"{side_ko} 잃는다고 할 수 없습니다"
    )
    if "per token" in failing and more and factors and factors[0] > 1:
        en += f"; the excess is the tokenizer's share ({factors[0]:.2f}× the tokens)"
        ko += f". 더 잃은 만큼은 토크나이저의 몫입니다(토큰 수 {factors[0]:.2f}배)"
    return en, ko


def crossing(
    a: str, b: str, better_in: str, worse_in: str, gain: Estimate, loss: Estimate, unit: str = "sentence"
) -> Sentence:
    """``a`` beats ``b`` in one language and loses to it in another; differences a - b in bits per ``unit``."""
    per_en, per_ko = unit_of(unit)
    better, worse = (number(d.value, decimals_of(d), True) + bounds(d) for d in (gain, loss))
    return Sentence(
        f"{a} beats {b} in {language_en(better_in)} ({better} bits per {per_en}) and loses to it in "
        f"{language_en(worse_in)} ({worse}). This holds on any scale.",
        f"{a}: {language_ko(better_in)}에서는 {b}보다 낫지만({per_ko}당 {better}비트) {language_ko(worse_in)}에서는 "
        f"그보다 못합니다({worse}비트). 이 역전은 어느 척도에서나 같습니다.",
    )


def comparison(
    a: str,
    b: str,
    measure: str,
    win: Sequence[str],
    tie: Sequence[str],
    loss: Sequence[str],
    unit: str = "sentence",
    inside_floor: Sequence[str] = (),
) -> Sentence:
    """``a`` against ``b`` over languages; ``measure`` is ``bits`` or ``kld``; ``inside_floor``: ties that are noise."""
    per_en, per_ko = unit_of(unit)
    count = len(win) + len(tie) + len(loss)
    of_en, of_ko = {
        "bits": (f"extra bits per {per_en}", f"{per_ko}당 추가 비트"),
        "kld": (f"KL divergence per {per_en}", f"{per_ko}당 KL 발산"),
    }[measure]
    en, ko = [], []
    for languages, word_en, word_ko, remark_en, remark_ko in (
        (win, "better", "나음", "", ""),
        (tie, "tied", "무승부", "; no difference established", "; 차이가 확인되지 않음"),
        (loss, "worse", "못함", "", ""),
    ):
        if languages and len(languages) == count > 1:
            en.append(f"{word_en} in all {count} languages{remark_en and f' ({remark_en[2:]})'}")
            ko.append(f"{count}개 언어 모두에서 {word_ko}{remark_ko and f'({remark_ko[2:]})'}")
        elif languages:
            en.append(f"{word_en} in {len(languages)} of {count} ({codes(languages)}{remark_en})")
            ko.append(f"{count}개 언어 중 {len(languages)}개에서 {word_ko}({codes(languages)}{remark_ko})")
    more_en = f" Inside the noise floor: {codes(inside_floor)}." if inside_floor else ""
    more_ko = f" 측정 잡음 수준 이내: {codes(inside_floor)}." if inside_floor else ""
    return Sentence(
        f"{a} against {b}, {of_en}: {'; '.join(en)}.{more_en}", f"{a} 대 {b}, {of_ko}: {', '.join(ko)}.{more_ko}"
    )
