"""The words of a page of several runs, and of a run that is not finished, in English and Korean, side by side."""

from __future__ import annotations

from collections.abc import Mapping

# key: (English, Korean)
ACROSS: Mapping[str, tuple[str, str]] = {
    "running": (
        "Running: {done} of {total} variants are finished; the last number is of {when} UTC. Load this page again to "
        "see more. If the sweep was stopped, the same command goes on, and `langgap report RUN` writes what there is.",
        "실행 중: 변형 {total}개 중 {done}개를 마쳤습니다. 마지막 수치의 시각은 {when} UTC입니다. 페이지를 다시 "
        "불러오면 더 볼 수 있습니다. 스윕이 멈췄다면 같은 명령으로 이어 가고, `langgap report RUN`으로 지금까지의 "
        "결과를 씁니다.",
    ),
    "run": ("run", "실행"),
    "lead_runs": ("Runs", "실행"),
    "across": ("What moved between the runs", "실행 사이에 달라진 것"),
    "across_counts": (
        "{run} beside {first}: of {all} numbers compared, {established} differ beyond chance, {not_established} do "
        "not, {same} are the same item by item; {differs} of those without items (sizes) differ.",
        "{first} 대비 {run}: 비교한 수치 {all}개 중 {established}개는 우연으로 볼 수 없게 다르고, "
        "{not_established}개는 그렇지 않으며, {same}개는 문항 하나하나까지 같습니다. 문항이 없는 수치(크기) "
        "중에서는 {differs}개가 다릅니다.",
    ),
    "across_apart_count": (
        "{run} beside {first}: {count} cells could not be compared; the reasons stand below.",
        "{first} 대비 {run}: {count}개 셀은 비교할 수 없습니다. 이유는 아래에 있습니다.",
    ),
    "across_differs": (
        "What made the runs differs in: {names}.",
        "실행 조건 가운데 다른 것: {names}.",
    ),
    "across_nothing_differs": ("nothing that was recorded", "기록된 것 중에는 없음"),
    "across_nothing_differs_note": (
        "Nothing that was recorded of the runs differs.",
        "기록된 실행 조건 가운데 다른 것이 없습니다.",
    ),
    "across_summary_note": (
        "Each row is what its own run says of a variant beside the `none` of that run.",
        "각 행은 그 실행에서 잰 값이며, 같은 실행의 `none`과 비교한 것입니다.",
    ),
    "across_note": (
        "Later run less {first}, paired item by item on the same texts, with {level} intervals over passages or items; "
        "Holm's correction over all that a run has here. The same artifact read twice differs by rounding alone, so a "
        "difference beyond chance may still be small. What has no items is compared as it is.",
        "나중 실행에서 {first}의 값을 뺀 것입니다. 같은 텍스트의 문항끼리 짝지었고, 구간은 지문이나 문항에 대한 "
        "{level} 구간이며, 실행마다 여기 있는 모든 비교에 홀름 보정을 했습니다. 같은 산출물을 두 번 읽어도 "
        "반올림만큼은 다르므로, 우연이 아닌 차이도 작을 수 있습니다. 문항이 없는 수치는 그대로 견줍니다.",
    ),
    "across_first": ("in {first}", "{first}의 값"),
    "across_same": ("the same", "같음"),
    "across_established": ("established", "확인됨"),
    "across_not_established": ("not established", "확인되지 않음"),
    "across_number_differs": ("differs", "다름"),
    "across_provenance": ("What made the runs", "실행 조건 비교"),
    "across_provenance_note": (
        "Only what was recorded with the numbers. Several values in one run are divided by a stroke.",
        "수치와 함께 기록된 것만 보입니다. 한 실행 안의 여러 값은 빗금으로 나눕니다.",
    ),
    "across_differing": ("What differs", "다른 것"),
    "across_equal": ("What is the same", "같은 것"),
    "across_of": ("of", "분류"),
    "across_model": ("model", "모델"),
    "across_date": ("date", "날짜"),
    "across_machine": ("machine", "기계"),
    "across_library": ("library", "라이브러리"),
    "across_code": ("code", "코드"),
    "across_text": ("texts", "텍스트"),
    "across_calibration": ("calibration", "보정 텍스트"),
    "across_apart": ("What could not be compared", "비교할 수 없는 것"),
    "across_more": ("and {count} more", "그 밖에 {count}개"),
    "apart_missing": (
        "{what}: not in {run}, but in {first} ({variants}).",
        "{what}: {first}에는 있고 {run}에는 없습니다({variants}).",
    ),
    "apart_extra": (
        "{what}: not in {first}, but in {run} ({variants}).",
        "{what}: {run}에는 있고 {first}에는 없습니다({variants}).",
    ),
    "apart_status": (
        "{what}: {run} beside {first}: without a number on one side ({variants}): {detail}",
        "{what}: {first} 대비 {run}: 한쪽에 수치가 없습니다({variants}): {detail}",
    ),
    "apart_model": (
        "{what}: {run} measured other base weights than {first} ({variants}): {detail}.",
        "{what}: {run}의 원본 가중치가 {first}와 다릅니다({variants}): {detail}.",
    ),
    "apart_task": (
        "{what}: {run} measured in another way than {first} ({variants}): {detail}.",
        "{what}: {run}의 측정 방법이 {first}와 다릅니다({variants}): {detail}.",
    ),
    "apart_texts": (
        "{what}: {run} read other texts or items than {first} ({variants}); their digests stand above.",
        "{what}: {run}이 읽은 텍스트나 문항이 {first}와 다릅니다({variants}). 다이제스트는 위에 있습니다.",
    ),
    "apart_items": (
        "{what}: {run} beside {first} ({variants}): {detail}.",
        "{what}: {first} 대비 {run}({variants}): {detail}.",
    ),
}
