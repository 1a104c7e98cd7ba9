"""What judges say of a variant, in English and Korean. Numbers come in finished; nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.estimate import Estimate
from results.power import WinRatePower
from results.sentences import Sentence, codes, language_en, language_ko, number

if TYPE_CHECKING:
    from results.judged import WinRate

CHOSEN = "chosen"
"""The note of a record whose variant was chosen to be judged: ``N by RULE``, the N least changed of each model."""
RULES = {
    "fidelity": ("mean KLD", "평균 KLD"),
    "perplexity": ("mean nats per token", "토큰당 평균 nat"),
    "bits": (
        "the extra bits per sentence in the language where they are most",
        "가장 많이 늘어난 언어에서 문장당 늘어난 비트",
    ),
}


def chosen(found: Sequence[WinRate]) -> list[Sentence]:
    """Which variants were chosen to be judged, and by what rule; nothing where nobody chose."""
    by_rule: dict[str, dict[str, None]] = {}
    for one in found:
        if CHOSEN in one.notes and not one.aa:
            by_rule.setdefault(one.notes[CHOSEN], {})[one.label] = None
    said = []
    for rule, labels in by_rule.items():
        count, _, name = rule.partition(" by ")
        en, ko = RULES.get(name, (name, name))
        who = ", ".join(labels)
        said.append(
            Sentence(
                f"Chosen to be judged: the variants that changed least, at most {count} of each model, by {en}: {who}.",
                f"판정 대상은 가장 적게 달라진 변형입니다(모델마다 최대 {count}개, 기준: {ko}): {who}.",
            )
        )
    return said


def win_rate(found: WinRate) -> Sentence:
    """How often the answers win in one language, and whether that differs from an even match."""
    en, ko = language_en(found.language), language_ko(found.language)
    rate, by = percent(found.rate), found.judge
    if found.again and found.floor is not None:
        return _again(found, en, ko, rate)
    if found.aa:
        ties = f"{100 * found.shares.tie:.0f}%"
        return Sentence(
            f"A/A: {found.label} against itself in {en}: {rate}, {ties} ties in both orders, by {by}; a judge that "
            "sees no difference calls only ties.",
            f"A/A: {found.label}의 {ko} 답변을 그 자신과 견주면 승률 {rate}, 두 순서 모두 무승부 {ties}"
            f"(심판 {by})입니다. 차이를 보지 않는 심판이라면 모두 무승부여야 합니다.",
        )
    told = {
        "win": (f"better than {found.against}", f"{found.against}보다 낫습니다"),
        "loss": (f"worse than {found.against}", f"{found.against}보다 못합니다"),
        "tie": ("no difference established", "차이는 확인되지 않았습니다"),
    }
    verdict_en, verdict_ko = told[found.outcome]
    weak_en = weak_ko = ""
    if found.weak:
        weak_en = f" The judge is weak in {en}: this rate establishes nothing."
        weak_ko = f" 이 심판은 {ko}에서 약하므로 이 승률로 확인되는 것은 없습니다."
    return Sentence(
        f"{found.label}: {en} answers win {rate} against {found.against} ({found.questions} questions, {by}): "
        f"{verdict_en}.{weak_en}",
        f"{found.label}: {ko} 답변의 승률 {rate}({found.against} 상대, {found.questions}문항, 심판 {by}). "
        f"{verdict_ko}.{weak_ko}",
    )


def _again(found: WinRate, en: str, ko: str, rate: str) -> Sentence:
    """What `none` gives against its second answers: the floor."""
    floor = found.floor
    if floor is None:
        raise ValueError("there is no floor to speak of")
    how_en, how_ko = {
        "re-run": ("drawn anew", "다시 뽑은"),
        "batch shape": ("written in other batches", "다른 배치로 쓴"),
    }[floor.kind]
    band = f"{100 * floor.band:.1f}"
    odd_en = odd_ko = ""
    if not floor.is_centred:
        odd_en = " That is not even: something other than chance is at work."
        odd_ko = " 한쪽으로 치우쳐 있어, 우연이 아닌 원인이 있습니다."
    return Sentence(
        f"A/A: {found.label} against its own second answers in {en}, {how_en}: {rate} ({found.questions} questions, by "
        f"{found.judge}). Nothing within {band} points of an even match is called a win or a loss.{odd_en}",
        f"A/A: {found.label}의 {ko} 답변을 {how_ko} 자신의 두 번째 답변과 견주면 승률 {rate}({found.questions}문항, "
        f"심판 {found.judge})입니다. 50%에서 {band}포인트 안의 차이는 승패로 치지 않습니다.{odd_ko}",
    )


def win_rate_gap(found: WinRate, against: str) -> Sentence:
    """How much less often a language wins than English, on the same questions."""
    if found.gap is None:
        raise ValueError("there is no gap to speak of")
    en, ko = language_en(against), language_ko(against)
    value = points(found.gap, " points")
    value_ko = points(found.gap, "포인트")
    same_en, same_ko = (
        ("the same questions", "같은 문항에서")
        if found.parallel
        else ("questions matched by id, which are not parallel", "번호로 짝지은(번역이 아닌) 문항에서")
    )
    if found.gap_established:
        why_en = why_ko = ""
    elif found.comparable == "no":
        why_en = f", not comparable: the judge is not equally reliable in {language_en(found.language)} and {en}"
        why_ko = f". 심판의 신뢰도가 {language_ko(found.language)}와 {ko}에서 달라 견줄 수 없습니다"
    else:
        why_en, why_ko = ", not established", ". 확인되지 않았습니다"
        if found.comparable == "unknown":
            why_en += "; whether the judge is equally reliable in both was not measured"
            why_ko += "(심판이 두 언어에서 똑같이 믿을 만한지는 재지 않았습니다)"
    return Sentence(
        f"Gap over {en} on {same_en}: {value}{why_en}.",
        f"{same_ko} {ko}와의 격차는 {value_ko}입니다{why_ko}.",
    )


def win_rates_open(found: Sequence[WinRate]) -> Sentence:
    """The languages in which a variant neither wins nor loses for sure, and what was not ruled out in the worst."""
    known = [(one.not_ruled_out, one.language) for one in found if one.not_ruled_out is not None]
    label, against = found[0].label, found[0].against
    languages = codes([one.language for one in found])
    if not known:
        return Sentence(
            f"{label}: no win or loss against {against} established in {languages}; the questions all came out alike, "
            "which says nothing of their spread.",
            f"{label}: {languages}에서 {against} 상대의 우열이 확인되지 않았습니다. 모든 문항의 결과가 같아 "
            "오차를 알 수 없습니다.",
        )
    most, where = max(known)
    return Sentence(
        f"{label}: no win or loss against {against} established in {languages}; up to {100 * most:.1f} points from an "
        f"even match are not ruled out ({where}).",
        f"{label}: {languages}에서 {against} 상대의 우열이 확인되지 않았습니다. 50%에서 {100 * most:.1f}포인트까지의 "
        f"차이를 배제할 수 없습니다({where}).",
    )


def power(low: WinRatePower, high: WinRatePower, turns: int) -> Sentence:
    """What so many questions can show, whatever was found: the range over judges that are usual."""
    n, family = low.questions, low.family
    half = f"±{100 * low.half_width:.0f}", f"±{100 * high.half_width:.0f}"
    least = f"{100 * low.smallest:.0f}", f"{100 * high.smallest:.0f}"
    at_once_en = f" for {family} languages at once (Holm)" if family > 1 else ""
    at_once_ko = f"(언어 {family}개를 함께 볼 때, 홀름 보정)" if family > 1 else ""
    if 100 * low.smallest >= 50:
        return Sentence(
            f"{n} questions of {turns} turns are too few to find any difference four times in five{at_once_en}: not "
            "even 50 points from an even match, which is to win or to lose all.",
            f"{turns}턴 문항 {n}개로는 다섯 번에 네 번 찾아낼 수 있는 차이가 없습니다{at_once_ko}. 전승이나 전패에 "
            "해당하는 50포인트도 찾지 못합니다.",
        )
    return Sentence(
        f"What {n} questions of {turns} turns can show: a win rate is known to {half[0]} to {half[1]} points, and the "
        f"smallest distance from an even match that is found four times in five is {least[0]} to {least[1]} points"
        f"{at_once_en}.",
        f"{turns}턴 문항 {n}개로 알 수 있는 것: 승률의 오차는 {half[0]}~{half[1]}포인트이고, 다섯 번에 네 번 찾아낼 수 "
        f"있는 가장 작은 차이는 50%에서 {least[0]}~{least[1]}포인트입니다{at_once_ko}.",
    )


def percent(share: Estimate) -> str:
    """``38.1% [30.2, 46.0]``.

    >>> percent(Estimate(0.381, 0.302, 1.04)), percent(Estimate(0.5))
    ('38.1% [30.2, 100.0]', '50.0%')
    """
    value = f"{100 * share.value:.1f}%"
    if share.low is None or share.high is None:
        return value
    return f"{value} [{100 * max(0.0, share.low):.1f}, {100 * min(1.0, share.high):.1f}]"


def points(share: Estimate, unit: str) -> str:
    """A difference of shares as signed percentage points with its interval."""
    value = f"{number(100 * share.value, 1, True)}{unit}"
    if share.low is None or share.high is None:
        return value
    return f"{value} [{number(100 * share.low, 1)}, {number(100 * share.high, 1)}]"
