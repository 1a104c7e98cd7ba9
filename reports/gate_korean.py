"""What `gate_text` says of a check, in Korean; what a library or a record said stays as it is."""

from __future__ import annotations

from reports.gate_text import amount, bounds, probability
from results.gate import Check, Gate

BESIDE = {"baseline": "기준선", "none": "`none`", "anchor": "처음 승인한 `none` 대비 변화"}
COUNTED = {"zeroshot": "문항", "pairwise": "질문"}
PER_SENTENCE = ("bits_per_sentence", "kld_bits_per_sentence")


def sentence(check: Check, gate: Gate) -> str:
    """What happened to one check: numbers, margin, how sure, and what would help."""
    rule = check.rule
    if check.state == "missing":
        return f"비교하지 못했습니다. {check.note}"
    what = f"{rule.metric}의 영어 대비 격차" if rule.gap else rule.metric
    unit = "비트(문장당)" if rule.metric in PER_SENTENCE and not rule.relative else ""
    worse = " ".join(f"{amount(check, check.damage)}{unit} {bounds(check)}".split())
    told = [f"{what}: {BESIDE[rule.against]}보다 {worse} 나쁩니다", f"허용 폭 {amount(check, rule.limit, False)}"]
    if not check.exact:
        told.append(f"{counted(check)} {check.passages}개")
        if check.state == "fail":
            told.append(f"홀름 보정 {probability(check.p_fail_adjusted)}")
        elif check.state == "pass" and check.low != check.high:
            told.append(f"더 나쁠 확률 {probability(check.p_pass)}")
    if remark := note(check, gate):
        told.append(remark)
    if check.needed is not None and check.needed > check.passages:
        told.append(f"{counted(check)} 약 {check.needed}개면 판정할 수 있습니다")
    return ". ".join([told[0], ", ".join(told[1:])])


def counted(check: Check) -> str:
    return COUNTED.get(check.place.task, "지문")


def note(check: Check, gate: Gate) -> str:
    """Why a check did not pass, where that is more than its numbers."""
    if check.state == "missing":
        return check.note
    told = []
    if not check.exact and check.passages < check.rule.minimum:
        told.append(f"짝지은 {counted(check)}이 {check.passages}개로 규칙의 최소 {check.rule.minimum}개보다 적습니다")
    if check.lacking and check.state == "inconclusive":
        told.append(f"항목 {check.items + check.lacking}개 가운데 {check.items}개만 있습니다")
    if check.state == "inconclusive" and check.p_fail <= gate.policy.alpha:
        size = sum(other.rule.tier == check.rule.tier for other in gate.checks)
        told.append(f"단독으로는 실패({probability(check.p_fail)})이나 검사 {size}개에 대한 홀름 보정 뒤에는 아닙니다")
    return "; ".join(told)
