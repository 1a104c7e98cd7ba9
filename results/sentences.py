"""Every statement of a claim as an English and a Korean sentence. Numbers come in finished; nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from results.estimate import Estimate

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


def number(value: float, decimals: int = 1, signed: bool = False) -> str:
    """A number with a real minus sign; never a negative zero."""
    text = f"{abs(value):.{decimals}f}"
    is_zero = float(text) == 0
    if value < 0 and not is_zero:
        return f"−{text}"
    return f"+{text}" if signed and not is_zero else text


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


def change(label: str, language: str, bits: Estimate | None, ratio: Estimate, established: bool) -> Sentence:
    """What one language lost under one variant: ``bits`` per sentence, where sentences are kept, and PPL ratio."""
    en, ko = language_en(language), language_ko(language)
    ppl = f"×{ratio.value:.3f}"
    if ratio.low is not None and ratio.high is not None:
        ppl += f" [{ratio.low:.3f}, {ratio.high:.3f}]"
    if not established:
        more_en, more_ko = "", ""
        if bits is not None:
            value = number(bits.value, decimals_of(bits), True)
            more_en = f"{value} bits per sentence{bounds(bits)}; "
            more_ko = f"문장당 {value}비트{bounds(bits)}, "
        return Sentence(
            f"{label}: no change established in {en}: {more_en}perplexity {ppl}.",
            f"{label}: {ko}의 변화는 확인되지 않았습니다. {more_ko}퍼플렉시티 {ppl}.",
        )
    if bits is None:
        return Sentence(f"{label}: {en} perplexity {ppl}.", f"{label}: {ko} 퍼플렉시티 {ppl}.")
    loses = bits.value >= 0
    value = number(abs(bits.value), decimals_of(bits))
    interval = bounds(bits, flip=not loses)
    return Sentence(
        f"{label}: {en} {'loses' if loses else 'gains'} {value} bits per sentence{interval}; perplexity {ppl}.",
        f"{label}: {ko}는 문장당 {value}비트를 {'잃습니다' if loses else '얻습니다'}{interval}. 퍼플렉시티 {ppl}.",
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
) -> Sentence:
    """The gap of one language: ``point`` the changes of (language, against), ``factors`` (tokens, damage per token),
    ``failing`` the scales (``per token``, ``relative``) on which it is not established or has the other sign."""
    more = headline.value >= 0
    decimals = decimals_of(headline)
    value = number(abs(headline.value), decimals)
    interval = bounds(headline, flip=not more)
    en, ko = language_en(language), language_ko(language)
    base_en, base_ko = language_en(against), language_ko(against)
    both = (number(point[0], decimals), number(point[1], decimals))
    claim_en = (
        f"{en} loses {value} bits {'more' if more else 'less'} per sentence than {base_en}{interval} "
        f"({en} {both[0]}, {base_en} {both[1]})"
    )
    claim_ko = (
        f"{ko}는 {base_ko}보다 문장당 {value}비트를 {'더' if more else '덜'} 잃습니다{interval} "
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
        share_en, share_ko = _depends(more, failing, factors)
        return Sentence(
            f"{label}: {claim_en}, but this depends on the scale: {share_en}.",
            f"{label}: {claim_ko}. 그러나 척도에 따라 다릅니다. {share_ko}.",
        )
    shown = number(headline.value, decimals, signed=True)
    plain = bounds(headline)
    if not_ruled_out is None:
        return Sentence(
            f"{label}: no gap between {en} and {base_en} can be established from one passage "
            f"({shown} bits per sentence).",
            f"{label}: 지문 하나로는 {ko}와 {base_ko}의 격차를 확인할 수 없습니다(문장당 {shown}비트).",
        )
    up_to = number(not_ruled_out, decimals)
    return Sentence(
        f"{label}: a gap between {en} and {base_en} is not established: {shown} bits per sentence{plain}; "
        f"the largest gap not ruled out is {up_to}.",
        f"{label}: {ko}와 {base_ko}의 격차는 확인되지 않았습니다. 문장당 {shown}비트{plain}이며, "
        f"배제하지 못한 가장 큰 격차는 {up_to}비트입니다.",
    )


def _depends(more: bool, failing: Sequence[str], factors: tuple[float, float] | None) -> tuple[str, str]:
    side_en, side_ko = ("more", "더") if more else ("less", "덜")
    if not failing:
        return (
            "not on all three scales at once after Holm's correction",
            "홀름 보정 뒤에는 세 척도 모두에서 한꺼번에 확인되지 않습니다",
        )
    scales_en = {"per token": "per token", "relative": "relative to what the text cost under `none`"}
    scales_ko = {"per token": "토큰당으로는", "relative": "`none`의 비용에 견주어서는"}
    en = f"{side_en} per sentence, not {' and not '.join(scales_en[name] for name in failing)}"
    ko = (
        f"문장당으로는 {side_ko} 잃지만, {', '.join(scales_ko[name] for name in failing)} "
        f"{side_ko} 잃는다고 할 수 없습니다"
    )
    if "per token" in failing and more and factors and factors[0] > 1:
        en += f"; the excess is the tokenizer's share ({factors[0]:.2f}× the tokens)"
        ko += f". 더 잃은 만큼은 토크나이저의 몫입니다(토큰 수 {factors[0]:.2f}배)"
    return en, ko


def crossing(a: str, b: str, better_in: str, worse_in: str, gain: Estimate, loss: Estimate) -> Sentence:
    """``a`` beats ``b`` in one language and loses to it in another; differences a - b in bits per sentence."""
    better, worse = (number(d.value, decimals_of(d), True) + bounds(d) for d in (gain, loss))
    return Sentence(
        f"{a} beats {b} in {language_en(better_in)} ({better} bits per sentence) and loses to it in "
        f"{language_en(worse_in)} ({worse}). This holds on any scale.",
        f"{a}: {language_ko(better_in)}에서는 {b}보다 낫지만(문장당 {better}비트) {language_ko(worse_in)}에서는 "
        f"그보다 못합니다({worse}비트). 이 역전은 어느 척도에서나 같습니다.",
    )


def comparison(a: str, b: str, measure: str, win: Sequence[str], tie: Sequence[str], loss: Sequence[str]) -> Sentence:
    """``a`` against ``b`` over languages; ``measure`` is ``bits`` or ``kld``."""
    count = len(win) + len(tie) + len(loss)
    of_en, of_ko = {
        "bits": ("extra bits per sentence", "문장당 추가 비트"),
        "kld": ("KL divergence per sentence", "문장당 KL 발산"),
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
    return Sentence(f"{a} against {b}, {of_en}: {'; '.join(en)}.", f"{a} 대 {b}, {of_ko}: {', '.join(ko)}.")


def not_measured(label: str, task: str, languages: Sequence[str], status: str, reason: str) -> Sentence:
    where = "" if list(languages) == ["und"] else f" ({codes(languages)})"
    status_ko = {"failed": "실패", "skipped": "건너뜀"}.get(status, status)
    return Sentence(
        f"{label}: {task}{where} not measured, {status}: {reason}",
        f"{label}: {task}{where} 측정하지 못함({status_ko}): {reason}",
    )


def gaps_open(label: str, against: str, largest: Sequence[tuple[str, float | None]]) -> Sentence:
    """All languages of a variant whose gap is not established, each with the largest gap not ruled out."""
    known = [(code, number(x, 1 if x >= 1 else 2)) for code, x in largest if x is not None]
    listed_en = codes([f"{code} (up to {x})" for code, x in known] + [code for code, x in largest if x is None])
    listed_ko = codes([f"{code}({x}까지)" for code, x in known] + [code for code, x in largest if x is None])
    return Sentence(
        f"{label}: the gap over {language_en(against)} is not established in {listed_en}"
        f"{'; in brackets, the largest not ruled out, bits per sentence' if known else ''}.",
        f"{label}: {language_ko(against)}와의 격차가 확인되지 않은 언어: {listed_ko}"
        f"{'. 괄호 안은 배제하지 못한 가장 큰 격차(문장당 비트)' if known else ''}.",
    )


def no_crossing(tested: int) -> Sentence:
    return Sentence(
        f"No crossing (one method better in English and worse in another language) was established among {tested} "
        "tested after Holm's correction.",
        f"역전(영어에서는 낫고 다른 언어에서는 못한 경우)은 홀름 보정을 거친 {tested}개 검정 가운데 하나도 확인되지 "
        "않았습니다.",
    )


def no_gap(against: str, languages: Sequence[str]) -> Sentence:
    if list(languages) == [against]:
        return Sentence(
            f"There is no language gap: only {language_en(against)} was measured.",
            f"언어 격차가 없습니다. {language_ko(against)}만 측정했습니다.",
        )
    return Sentence(
        f"There is no language gap: {language_en(against)}, which it is measured against, has no measurement of `none` "
        f"here; measured: {codes(languages) or 'nothing'}.",
        f"언어 격차를 구할 수 없습니다. 기준인 {language_ko(against)}에서 `none`이 측정되지 않았습니다. 측정한 언어: "
        f"{codes(languages) or '없음'}.",
    )


def not_parallel(language: str, against: str) -> Sentence:
    return Sentence(
        f"No gap for {language_en(language)}: none of its passages matches one of {language_en(against)}; a gap needs "
        "parallel text.",
        f"{language_ko(language)}의 격차는 구할 수 없습니다. {language_ko(against)}와 짝이 맞는 지문이 없습니다. "
        "격차에는 병렬 텍스트가 필요합니다.",
    )


def unmatched(group: str, missing: Sequence[str]) -> Sentence:
    if list(missing) == ["equal sentence counts"]:
        return Sentence(
            f"Passage {group} is left out of the comparison between languages: its sentence counts differ.",
            f"지문 {group}: 언어마다 문장 수가 달라 언어 사이의 비교에서 뺐습니다.",
        )
    return Sentence(
        f"Passage {group} is left out of the comparison between languages: missing in {'; '.join(missing)}.",
        f"지문 {group}: 다음에 없어 언어 사이의 비교에서 뺐습니다: {'; '.join(missing)}.",
    )


def other_text(label: str, language: str) -> Sentence:
    return Sentence(
        f"{label}, {language}: left out, for it was measured on another text than `none`.",
        f"{label}, {language}: `none`과 다른 텍스트에서 측정되어 뺐습니다.",
    )


def left_out_limit(limits: Sequence[int]) -> Sentence:
    listed = codes([str(limit) for limit in limits])
    return Sentence(
        f"Measurements limited to {listed} passages are left out where fuller ones exist.",
        f"더 많은 지문을 읽은 측정이 있어, {listed}개 지문으로 제한한 측정은 뺐습니다.",
    )


ONE_DRAW = Sentence(
    "One calibration draw: statements are about these artifacts, not about the methods.",
    "보정 표본은 하나입니다. 아래의 진술은 방법이 아니라 이번에 만든 결과물에 대한 것입니다.",
)


def several_draws(count: int) -> Sentence:
    return Sentence(
        f"{count} calibration draws: comparisons between methods hold for new draws and new passages (both random, "
        "crossed); rows of a single draw hold for that artifact only. Draws from a small pool of text understate how "
        "much draws vary.",
        f"보정 표본은 {count}개입니다. 방법 사이의 비교는 새 표본과 새 지문에 대한 진술이고(둘 다 무작위로 봄), 표본 "
        "하나의 행은 그 결과물에 대한 것입니다. 텍스트가 적은 곳에서 뽑은 표본은 표본 간 변동을 작게 보이게 합니다.",
    )


IS_4_BIT = Sentence(
    "`none` is itself a 4-bit model (Gemma 3 270M, Q4_K_M) dequantized: losses are measured against it, not against "
    "the original weights.",
    "`none` 자체가 4비트 모델(Gemma 3 270M, Q4_K_M)을 역양자화한 것입니다. 손실은 원래 가중치가 아니라 "
    "이 모델을 기준으로 잰 것입니다.",
)
FEW_PASSAGES = Sentence(
    "Fewer than 10 passages: intervals are wide and rest on the assumption of normal differences.",
    "지문이 10개 미만입니다. 구간이 넓으며, 차이가 정규분포를 따른다는 가정에 기댑니다.",
)
