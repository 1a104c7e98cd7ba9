"""What became of a variant's answers, in English and Korean. Numbers come in finished; nothing is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.estimate import Estimate
from results.sentences import READ_AGAIN, Sentence, bounds, decimals_of, inside, language_en, language_ko, number
from results.statistics import ALPHA

if TYPE_CHECKING:
    from results.answers import AnswerChange


def answer_change(found: AnswerChange) -> Sentence:
    """Accuracy before and after, flips both ways, and the margin."""
    en, ko = language_en(found.language), language_ko(found.language)
    before, after = (f"{100 * value:.1f}%" for value in (found.accuracy_none, found.accuracy))
    flips = found.flips
    if found.at_chance:
        return Sentence(
            f"{found.label}: {found.task} in {en}: not measurable, at chance: `none` answers {before} of "
            f"{flips.items} items.",
            f"{found.label}: {found.task}({ko})는 측정할 수 없습니다. `none`의 정답률이 우연 수준입니다"
            f"({flips.items}문항 중 {before}).",
        )
    sure_en, sure_ko = _unless(
        found, "accuracy", found.p_adjusted, ", no change established", ". 변화는 확인되지 않았습니다"
    )
    also_en, also_ko = _flips_of_none(found)
    margin_en = margin_ko = ""
    if found.margin is not None:
        open_en, open_ko = _unless(found, "margin", found.p_margin_adjusted)
        margin_en = f"; margin {_nats(found.margin, ' nats per item')}{open_en}"
        margin_ko = f" 문항당 마진의 변화는 {_nats(found.margin, 'nat')}입니다{open_ko}."
    return Sentence(
        f"{found.label}: {found.task} in {en}: accuracy {before} to {after}, {_points(found.change, ' points')}"
        f"{sure_en}; {flips.lost} answers lost, {flips.gained} gained, {flips.moved} wrong otherwise, of "
        f"{flips.items}{also_en}{margin_en}.",
        f"{found.label}: {found.task}({ko}) 정답률 {before}에서 {after}, {_points(found.change, '포인트')}{sure_ko}. "
        f"{flips.items}문항 중 {flips.lost}개를 잃고 {flips.gained}개를 얻었으며 {flips.moved}개는 다른 오답으로 "
        f"바뀌었습니다{also_ko}.{margin_ko}",
    )


def _flips_of_none(found: AnswerChange) -> tuple[str, str]:
    """How many answers `none` itself changes when it answers again; empty where it did not."""
    if (floor := found.floors.get("flips")) is None or not floor.mean.n:
        return "", ""
    how_en, how_ko = READ_AGAIN[floor.kind]
    changed, items = round(floor.mean.value * floor.mean.n), floor.mean.n
    return (
        f" (`none` read again {how_en} changes {changed} of {items})",
        f"(`none`을 {how_ko} 다시 읽으면 {items}개 중 {changed}개가 바뀜)",
    )


def answer_gap(found: AnswerChange, against: str) -> Sentence:
    """How much more of its answers a language lost than English, on the same items."""
    if found.gap is None:
        raise ValueError("there is no gap to speak of")
    en, ko = language_en(against), language_ko(against)
    open_en, open_ko = _unless(found, "accuracy_gap", 1.0 if found.at_chance else found.p_gap_adjusted)
    more_en = more_ko = ""
    if found.margin_gap is not None:
        also_en, also_ko = _unless(found, "margin_gap", found.p_margin_gap_adjusted)
        more_en = f"; of the margin {_nats(found.margin_gap, ' nats')}{also_en}"
        more_ko = f" 마진의 격차는 {_nats(found.margin_gap, 'nat')}입니다{also_ko}."
    return Sentence(
        f"Gap over {en} on the same items: {_points(found.gap, ' points')}{open_en}{more_en}.",
        f"같은 문항에서 {ko}와의 격차는 {_points(found.gap, '포인트')}입니다{open_ko}.{more_ko}",
    )


def _unless(
    found: AnswerChange, metric: str, p: float, en: str = ", not established", ko: str = "(확인되지 않음)"
) -> tuple[str, str]:
    """Nothing where a change is established; else the words, and that it lies inside the noise floor if it does."""
    floor = found.noise(metric)
    if p <= ALPHA and floor is None:
        return "", ""
    why_en, why_ko = inside(floor)
    return f"{en}{why_en}", f"{ko}{why_ko}".replace(")(", ", ")


def _points(share: Estimate, unit: str) -> str:
    """A share as signed percentage points with its interval."""
    value = f"{number(100 * share.value, 1, True)}{unit}"
    if share.low is None or share.high is None:
        return value
    return f"{value} [{number(100 * share.low, 1)}, {number(100 * share.high, 1)}]"


def _nats(margin: Estimate, unit: str) -> str:
    return f"{number(margin.value, decimals_of(margin), True)}{unit}{bounds(margin)}"
