"""What a reader must know beside the claims: what was not measured, left out or assumed; in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from results.noise import Floor
from results.sentences import READ_AGAIN, Sentence, codes, language_en, language_ko, number, small, unit_of


def not_measured(label: str, task: str, languages: Sequence[str], status: str, reason: str) -> Sentence:
    where = "" if list(languages) == ["und"] else f" ({codes(languages)})"
    status_ko = {"failed": "실패", "skipped": "건너뜀"}.get(status, status)
    return Sentence(
        f"{label}: {task}{where} not measured, {status}: {reason}",
        f"{label}: {task}{where} 측정하지 못함({status_ko}): {reason}",
    )


def gaps_open(
    label: str, against: str, largest: Sequence[tuple[str, float | None]], unit: str = "sentence"
) -> Sentence:
    """All languages of a variant whose gap is not established, each with the largest gap not ruled out."""
    per_en, per_ko = unit_of(unit)
    known = [(code, number(x, 1 if x >= 1 else 2)) for code, x in largest if x is not None]
    listed_en = codes([f"{code} (up to {x})" for code, x in known] + [code for code, x in largest if x is None])
    listed_ko = codes([f"{code}({x}까지)" for code, x in known] + [code for code, x in largest if x is None])
    return Sentence(
        f"{label}: the gap over {language_en(against)} is not established in {listed_en}"
        f"{f'; in brackets, the largest not ruled out, bits per {per_en}' if known else ''}.",
        f"{label}: {language_ko(against)}와의 격차가 확인되지 않은 언어: {listed_ko}"
        f"{f'. 괄호 안은 배제하지 못한 가장 큰 격차({per_ko}당 비트)' if known else ''}.",
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


def doubled_document(language: str, group: str, double: str) -> Sentence:
    return Sentence(
        f"{language_en(language)}: passages {group} and {double} are the same text; it is counted once.",
        f"{language_ko(language)}: 내용이 같은 지문({group}, {double})은 한 번만 셉니다.",
    )


def left_out_limit(limits: Sequence[int]) -> Sentence:
    listed = codes([str(limit) for limit in limits])
    return Sentence(
        f"Measurements limited to {listed} passages are left out where fuller ones exist.",
        f"더 많은 지문을 읽은 측정이 있어, {listed}개 지문으로 제한한 측정은 뺐습니다.",
    )


def draws_beside_passages(label: str, spreads: Mapping[str, tuple[float, float]], unit: str = "sentence") -> Sentence:
    """How much one language's loss varies over draws and over passages: language -> (SD of draws, SD of passages)."""
    en, ko = unit_of(unit)
    listed = codes([f"{code} {number(draw, 2)} / {number(passage, 2)}" for code, (draw, passage) in spreads.items()])
    return Sentence(
        f"{label}: standard deviation over draws / over passages of the extra bits per {en}: {listed}.",
        f"{label}: {ko}당 추가 비트의 표준편차(보정 표본 사이 / 지문 사이): {listed}.",
    )


def noise_floor(floors: Sequence[Floor], setting: str = "", unit: str = "sentence") -> Sentence:
    """How far `none` read again lies from itself, in extra bits; the widest language first."""
    en, ko = unit_of(unit)
    listed = codes([f"{it.language} ±{small(it.band)}" for it in sorted(floors, key=lambda it: -it.band)])
    where = f" ({setting})" if setting else ""
    how_en, how_ko = READ_AGAIN[floors[0].kind]
    count = min(it.mean.clusters or 0 for it in floors)
    return Sentence(
        f"Noise floor{where}, extra bits per {en} between `none` and itself read again {how_en}, known from {count} "
        f"passages: {listed}. Nothing inside it is called established.",
        f"측정 잡음 수준{where}, `none`과 {how_ko} 다시 읽은 자신 사이의 {ko}당 추가 비트({count}개 지문으로 추정): "
        f"{listed}. 이보다 작은 값은 확인되었다고 하지 않습니다.",
    )


def answer_noise(floors: Sequence[Floor]) -> Sentence:
    """How far the margins of one task lie from themselves when `none` reads some of its items again."""
    listed = codes([f"{it.language} ±{small(it.band)}" for it in sorted(floors, key=lambda it: -it.band)])
    how_en, how_ko = READ_AGAIN[floors[0].kind]
    task, count = floors[0].setting, floors[0].mean.clusters
    return Sentence(
        f"Noise floor, margin of {task} in nats per item between `none` and itself read again {how_en}, as a mean "
        f"over all items, known from {count} of them: {listed}. Nothing inside it is called established.",
        f"측정 잡음 수준, `none`과 {how_ko} 다시 읽은 자신 사이의 {task} 마진 변화(전체 문항의 평균, 문항당 nat, "
        f"{count}개 문항으로 추정): {listed}. 이보다 작은 값은 확인되었다고 하지 않습니다.",
    )


def not_centred(floor: Floor) -> Sentence:
    how_en, how_ko = READ_AGAIN[floor.kind]
    return Sentence(
        f"{language_en(floor.language)}: `none` read again {how_en} differs from itself in one direction "
        f"({floor.metric} {small(floor.mean.value)}; its interval excludes 0, as one in twenty does by chance).",
        f"{language_ko(floor.language)}: `none`을 {how_ko} 다시 읽은 값이 한쪽으로 치우칩니다({floor.metric} "
        f"{small(floor.mean.value)}, 구간이 0을 포함하지 않음. 스무 번에 한 번은 우연히도 그렇습니다).",
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
