"""What `gate_text` says of a gate, in Korean; what a library or a record said stays as it is."""

from __future__ import annotations

import re
from functools import cache

from reports.gate_text import amount, bounds, probability
from results.gate import Check, Gate

BESIDE = {"baseline": "기준선", "none": "`none`", "anchor": "처음 승인한 `none` 대비 변화"}
COUNTED = {"zeroshot": "문항", "pairwise": "질문"}
SEVERITY = {"fatal": "비교 불가", "warning": "경고", "info": "참고"}
REASONS = {
    # Mismatches of baseline and run (results/comparison.py).
    "{what}: {was} in the baseline, {now} in the run": "{what}: 기준선은 {was}, 실행은 {now}",
    "another item set: {few} of the run's {many} items are not in the baseline": (
        "다른 문항 집합: 실행의 항목 {many}개 중 {few}개가 기준선에 없음"
    ),
    "another model": "다른 모델",
    "the version of task {name}": "과제 {name}의 버전",
    "task parameter {name}": "과제 매개변수 {name}",
    "judge parameter {name}": "심판 매개변수 {name}",
    "the prompts": "프롬프트",
    "the dtype it computes in": "계산 dtype",
    "the device class": "장치 종류",
    "the calibration tokens": "보정 토큰",
    "our version of {name}": "{name}의 자체 버전",
    "the artifact": "산출물",
    "the model that judged": "심판 모델",
    "the data set's revision": "데이터셋 리비전",
    "the accelerator": "가속기",
    "the processor": "프로세서",
    "threads": "스레드",
    "our commit": "langgap 커밋",
    "nothing": "없음",
    # What has grown old.
    "{few} of {many} cells of the baseline are older than {days} days (the oldest: {oldest}); measure again and "
    "{command}": (
        "기준선의 셀 {many}개 중 {few}개가 {days}일을 넘김(가장 오래된 것은 {oldest}일). 다시 측정한 뒤 {command}"
    ),
    "the judge of the baseline was to be shut down on {date}: its win rates cannot be repeated": (
        "기준선의 심판은 {date} 종료 예정이었음. 승률을 다시 낼 수 없음"
    ),
    "the judge of the baseline is to be shut down on {date}: judge again with another soon": (
        "기준선의 심판은 {date} 종료 예정. 곧 다른 심판으로 다시 판정해야 함"
    ),
    "the baseline was measured by code with uncommitted changes": "기준선을 측정한 코드에 커밋하지 않은 변경이 있었음",
    # Warnings of a gate and its policy.
    "`none` itself reads otherwise than in the baseline: {name} in {count} cells; the engine or the texts changed": (
        "`none`의 값부터 기준선과 다름: 셀 {count}개의 {name}. 엔진이나 텍스트가 바뀜"
    ),
    "the run has no finished cell of `none`, so no rule against `none` or the anchor can be checked; sweep again with "
    "{table}": (
        "실행에 완료된 `none` 셀이 없어 `none`이나 최초 승인 대비 규칙을 검사할 수 없음. {table}을 넣어 다시 실행"
    ),
    "no blocking rule looks back further than the last baseline: repeated updates inside the margin may creep; add a "
    "rule with {table}": (
        "직전 기준선보다 앞을 보는 차단 규칙이 없음. 허용 폭 안의 갱신이 쌓일 수 있으니 {table} 규칙을 추가"
    ),
    # Why nothing was compared.
    "rule '{name}' meets no cell of this run and is not required": (
        "규칙 '{name}'에 해당하는 셀이 이 실행에 없음(필수 아님)"
    ),
    "no cell of baseline or run meets this rule": "기준선과 실행에 이 규칙에 해당하는 셀이 없음",
    "the run has no such cell": "실행에 이 셀이 없음",
    "not comparable with the baseline: {reason}": "기준선과 비교할 수 없음: {reason}",
    "English: {reason}": "영어: {reason}",
    "{share} of its judgements failed, and the rule allows {allowed}": "심판 실패 {share}, 규칙의 허용 한도 {allowed}",
    "this variant was not measured in English, which a gap is counted from": (
        "격차의 기준인 영어에서 이 변형을 측정하지 않음"
    ),
    "windows of joined text are not parallel between languages": "이어 붙인 텍스트의 창은 언어 사이에 병렬이 아님",
    "the run has no finished cell of `none` here, which this rule counts from": (
        "이 규칙의 기준인 `none` 셀이 실행에 없음"
    ),
    "the baseline has no finished cell of `none` here, which this rule counts from": (
        "이 규칙의 기준인 `none` 셀이 기준선에 없음"
    ),
    "the items keep no {names}": "항목에 {names} 값이 없음",
    "no item is shared, so there is nothing to pair": "공통 항목이 없어 짝지을 수 없음",
    "no parallel item is shared with English, so there is nothing to pair": (
        "영어와 공통인 병렬 항목이 없어 짝지을 수 없음"
    ),
    "the items' {names} add up to nothing once a passage is left out": "지문 하나를 빼면 항목의 {names} 합이 0이 됨",
    "a relative margin needs something above 0 to be relative to; give `margin`": (
        "상대 허용 폭은 0보다 큰 기준값이 필요함. `margin`을 지정"
    ),
    "the run has no {name} here": "실행에 {name} 값이 없음",
    "the baseline has no {name} here": "기준선에 {name} 값이 없음",
    "`none` in the run has no {name} here": "실행의 `none`에 {name} 값이 없음",
    "failed in the run: {said}": "실행에서 실패: {said}",
    "skipped in the run: {said}": "실행에서 건너뜀: {said}",
    "in the baseline, not in the run": "기준선에만 있고 실행에 없음",
    "not in the baseline; `langgap baseline update` adds it": "기준선에 없음. `langgap baseline update`로 추가",
    "not in the baseline": "기준선에 없음",
    "{place}: {reason}": "{place}: {reason}",
}
"""English -> Korean, the first that fits; a part in braces is anything, and PARTS of them are translated in turn."""
PARTS = ("what", "was", "now", "reason")
PER_SENTENCE = ("bits_per_sentence", "kld_bits_per_sentence")


def sentence(check: Check, gate: Gate) -> str:
    """What happened to one check: numbers, margin, how sure, and what would help."""
    rule = check.rule
    if check.state == "missing":
        return f"비교하지 못했습니다. {korean(check.note)}"
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
        return korean(check.note)
    told = []
    if not check.exact and check.passages < check.rule.minimum:
        told.append(f"짝지은 {counted(check)}이 {check.passages}개로 규칙의 최소 {check.rule.minimum}개보다 적습니다")
    if check.lacking and check.state == "inconclusive":
        told.append(f"항목 {check.items + check.lacking}개 가운데 {check.items}개만 있습니다")
    if check.state == "inconclusive" and check.p_fail <= gate.policy.alpha:
        size = sum(other.rule.tier == check.rule.tier for other in gate.checks)
        told.append(f"단독으로는 실패({probability(check.p_fail)})이나 검사 {size}개에 대한 홀름 보정 뒤에는 아닙니다")
    return "; ".join(told)


def remarks(gate: Gate) -> list[str]:
    """What stands beside the verdicts: mismatches, staleness, what was not compared."""
    said = [
        f"{SEVERITY[one.severity]}: {korean(one.sentence)} (셀 {count}개)"
        for one, count in gate.mismatches
        if one.severity != "info"
    ]
    said += [f"오래됨: {korean(line)}" for line in gate.stale]
    said += [f"경고: {korean(line)}" for line in gate.warnings]
    said += [f"비교하지 않음: {korean(line)}" for line in gate.not_compared]
    return said


def korean(sentence: str) -> str:
    """One of REASONS, whatever stands in its places; any other sentence as it is."""
    for pattern, said in _patterns():
        if found := pattern.fullmatch(sentence):
            parts = {name: korean(part) if name in PARTS else part for name, part in found.groupdict().items()}
            return said.format(**parts)
    return sentence


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(english)), re.DOTALL), said)
        for english, said in REASONS.items()
    ]
