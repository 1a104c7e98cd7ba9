"""The page's words on the gate, cards, advice, equal bytes and neurons, in English and Korean, side by side."""

from __future__ import annotations

from collections.abc import Mapping

# key: (English, Korean)
SECTIONS: Mapping[str, tuple[str, str]] = {
    "unknown": ("unknown", "알 수 없음"),
    "gate": ("Gate", "게이트 판정"),
    "gate_note": (
        "A check passes where damage of the margin or more is ruled out, and fails where damage beyond the margin is "
        "established after Holm's correction; else it is inconclusive. Intervals are those of the two one-sided tests.",
        "허용 폭 이상의 손상을 배제할 수 있으면 통과, 허용 폭을 넘는 손상이 홀름 보정 뒤에 확인되면 실패이며, 그 밖은 "
        "판정 불가입니다. 구간은 두 단측 검정의 것입니다.",
    ),
    "gate_pass": (
        "Gate: PASS. All {blocking} blocking checks passed.",
        "게이트: 통과. 차단 검사 {blocking}개를 모두 통과했습니다.",
    ),
    "gate_fail": (
        "Gate: FAIL. Something became worse than its margin allows; of {blocking} blocking checks {counts}.",
        "게이트: 실패. 허용 폭보다 나빠진 것이 있습니다. 차단 검사 {blocking}개 중 {counts}입니다.",
    ),
    "gate_inconclusive": (
        "Gate: INCONCLUSIVE. What was measured cannot tell; of {blocking} blocking checks {counts}.",
        "게이트: 판정 불가. 측정한 것만으로는 알 수 없습니다. 차단 검사 {blocking}개 중 {counts}입니다.",
    ),
    "gate_missing": (
        "Gate: MISSING. A blocking check had nothing to compare; of {blocking} blocking checks {counts}.",
        "게이트: 비교 불가. 비교할 것이 없는 차단 검사가 있습니다. 차단 검사 {blocking}개 중 {counts}입니다.",
    ),
    "gate_lenient": ("The policy lets this pass.", "이 정책은 판정 불가를 막지 않습니다."),
    "gate_count_pass": ("{count} passed", "통과 {count}개"),
    "gate_count_fail": ("{count} failed", "실패 {count}개"),
    "gate_count_inconclusive": ("{count} inconclusive", "판정 불가 {count}개"),
    "gate_count_missing": ("{count} had nothing to compare", "비교 불가 {count}개"),
    "gate_no_check": ("none was made", "한 것이 없음"),
    "gate_state_pass": ("passed", "통과"),
    "gate_state_fail": ("failed", "실패"),
    "gate_state_inconclusive": ("inconclusive", "판정 불가"),
    "gate_state_missing": ("nothing to compare", "비교 불가"),
    "gate_tier_block": ("blocks", "차단"),
    "gate_tier_warn": ("warns", "경고"),
    "gate_tier_info": ("informs", "참고"),
    "gate_shared": ("{count} checks ({rules}), {state}: {note}", "검사 {count}개({rules}), {state}: {note}"),
    "gate_more": ("{count} more reasons stand in the table below.", "나머지 이유 {count}개는 아래 표에 있습니다."),
    "gate_outdated": (
        "This verdict is of other records than the run has now. Judge again: `langgap gate RUN --baseline FILE`.",
        "지금의 기록이 아니라 이전 기록에 대한 판정입니다. 다시 판정하십시오: `langgap gate RUN --baseline FILE`.",
    ),
    "gate_unreadable": (
        "gate.json in the run folder cannot be read ({problem}). Judge again: `langgap gate RUN --baseline FILE`.",
        "실행 폴더의 gate.json을 읽을 수 없습니다({problem}). 다시 판정하십시오: `langgap gate RUN --baseline FILE`.",
    ),
    "gate_about": (
        "Baseline {file}, saved {date} by {who}: {why}. Policy {policy}; judged {made} UTC.",
        "기준선 {file}, {date} {who} 저장: {why}. 정책 {policy}, 판정 {made} UTC.",
    ),
    "gate_beside": (
        "Beside the verdict: what differs, and what was not compared",
        "판정 외: 다른 점, 비교하지 않은 것",
    ),
    "gate_check": ("check", "검사"),
    "gate_tier": ("tier", "등급"),
    "gate_rule": ("rule", "규칙"),
    "gate_worse": ("worse by", "나빠진 정도"),
    "gate_margin": ("margin", "허용 폭"),
    "gate_passed": ("Checks that passed", "통과한 검사"),
    "gate_not_passed": ("Checks that did not pass", "통과하지 못한 검사"),
    "cards": ("Variant by variant", "변형별 카드"),
    "cards_note": (
        "One line each: size, and what the language that loses most loses, with its interval; unfold for settings, "
        "bytes by part, best and worst language, time, memory and notes. Bars share one scale.",
        "변형마다 한 줄에 크기와 가장 많이 잃은 언어의 손실을 구간과 함께 적었습니다. 펼치면 설정, 부분별 바이트, 가장 "
        "적게 잃은 언어와 가장 많이 잃은 언어, 시간, 메모리, 기록이 나옵니다. 막대의 눈금은 모두 같습니다.",
    ),
    "card_bits": ("{bits} bits per weight", "가중치당 {bits}비트"),
    "card_bytes": ("bytes by part", "부분별 바이트"),
    "card_bar": ("Bar: {parts}", "막대: {parts}"),
    "card_best": ("loses least", "가장 적게 잃은 언어"),
    "card_worst": ("loses most", "가장 많이 잃은 언어"),
    "card_extra_bits": ("{language} {value} bits per sentence", "{language} 문장당 {value} 비트"),
    "card_log_ratio": ("{language} {value} in ln(PPL / PPL of none)", "{language} ln(PPL / none의 PPL) {value}"),
    "card_cells": ("{count} cells {status}", "{status} 셀 {count}개"),
    "card_draw": ("draw {draw}", "추출 {draw}"),
    "card_seconds": ("seconds to compress", "압축에 걸린 시간"),
    "card_spent": ("{compress} s; everything else {rest} s", "{compress}초, 그 밖 {rest}초"),
    "card_memory": ("peak memory while reading and making", "읽기와 생성 중 최대 메모리"),
    "card_untouched": ("left untouched", "손대지 않은 층"),
    "equal_bytes": ("At equal bytes: leaving out against rounding", "같은 바이트에서: 덜어 내기와 반올림"),
    "equal_bytes_note": (
        "Sparse and low-rank variants beside the dense ones whose bytes are within 3%, or else the nearest below and "
        "above. Differences in bits per sentence with {level} intervals, paired by passage, Holm's correction over the "
        "languages of each pair; negative: the sparse or low-rank one loses less.",
        "희소·저랭크 변형을 바이트 차이가 3% 이내인 밀집 변형 옆에 두었고, 없으면 아래위로 가장 가까운 것을 씁니다. "
        "문장당 비트의 차이와 {level} 구간이며, 지문별로 짝지었고 쌍마다 언어 수에 대한 홀름 보정을 했습니다. 음수이면 "
        "희소·저랭크 쪽이 덜 잃습니다.",
    ),
    "equal_bytes_method": ("sparse or low-rank", "희소·저랭크"),
    "equal_bytes_beside": ("dense", "밀집"),
    "equal_bytes_relation": ("its bytes", "바이트 관계"),
    "equal_bytes_equal": ("within 3%", "3% 이내"),
    "equal_bytes_below": ("nearest below", "아래로 가장 가까움"),
    "equal_bytes_above": ("nearest above", "위로 가장 가까움"),
    "neurons": ("Neurons of a language", "언어별 뉴런"),
    "neurons_of": ("Neurons that fire for few languages: {model}", "적은 언어에서만 발화하는 뉴런: {model}"),
    "neurons_note": (
        "Neurons of the MLPs that fire for few languages, by language activation probability entropy (LAPE); one may "
        "belong to several languages. The row “kept” shows those that the variant holds beside its grid.",
        "언어 활성화 확률 엔트로피(LAPE)로 고른, 적은 언어에서만 발화하는 MLP 뉴런입니다. 한 뉴런이 여러 언어에 "
        "속하기도 합니다. ‘보존’ 행은 변형이 격자 밖에 따로 보존한 뉴런입니다.",
    ),
    "neurons_kept": ("Kept by {variants}: {note}.", "{variants}에서 보존: {note}."),
    "neurons_split_half_overlap": (
        "{variants}: chosen again from either half of the text, both halves agree on: {note}.",
        "{variants}: 텍스트를 반으로 나누어 다시 골랐을 때 두 선택이 겹치는 비율: {note}.",
    ),
    "neurons_by_block": ("By block", "블록별"),
    "neurons_in_all": ("In all blocks", "모든 블록"),
    "neurons_row_kept": ("kept", "보존"),
    "neurons_fullest": ("block (fullest colour: {most} neurons)", "블록(가장 짙은 색: 뉴런 {most}개)"),
    "neurons_several": ("neurons (some belong to several)", "뉴런(여러 언어에 속하기도 함)"),
    "neurons_block": ("block", "블록"),
    "neurons_count": ("neurons", "뉴런"),
    "figure_skipped": (
        "No figure files for {plot}: no installed font has {glyphs}. Install the Debian package fonts-noto-cjk and run "
        "the same command again.",
        "{plot}의 그림 파일을 만들지 않았습니다. 설치된 글꼴에 {glyphs} 글자가 없습니다. 데비안 패키지 "
        "fonts-noto-cjk를 설치하고 같은 명령을 다시 실행하십시오.",
    ),
    "more_verdicts": ("The rest of the verdict", "나머지 결론"),
    "terms": ("What the columns mean", "열의 뜻"),
    "term_extra_bits": (
        "how many bits more than under `none` a parallel sentence costs: the loss in one language",
        "병렬 문장 하나를 적는 데 `none`보다 더 드는 비트 수, 곧 한 언어의 손실",
    ),
    "term_log_ratio": (
        "logarithm of perplexity over that of `none`; 0.01 is about 1%",
        "`none` 대비 퍼플렉시티 비의 로그. 0.01이면 약 1%",
    ),
    "term_gap": (
        "extra bits per sentence of the language less those of English",
        "그 언어의 문장당 추가 비트에서 영어의 것을 뺀 값",
    ),
    "term_per_token": (
        "the same gap in nats per token of each language",
        "같은 격차를 각 언어의 토큰당 nat으로 나타낸 값",
    ),
    "term_relative": (
        "the same gap in shares of what the text cost under `none`",
        "같은 격차를 `none`에서 든 비용에 대한 비율로 나타낸 값",
    ),
    "term_p_adjusted": (
        "how likely so large a difference is by chance, after Holm's correction; established at 0.05 or less",
        "이만큼의 차이가 우연히 나올 확률(홀름 보정 후). 0.05 이하이면 확인된 것으로 봅니다",
    ),
    "term_not_ruled_out": (
        "the largest gap that the data leave possible: the farther end of the 90% interval",
        "자료로 배제하지 못한 가장 큰 격차, 곧 90% 구간의 먼 쪽 끝",
    ),
    "term_difference": (
        "the first less the second on the same passages; negative: the first changed less",
        "같은 지문에서 앞의 것에서 뒤의 것을 뺀 값. 음수이면 앞의 것이 덜 나빠진 것",
    ),
    "term_passage_sd": ("how much the value varies from passage to passage", "값이 지문마다 달라지는 정도"),
    "term_draw_sd": (
        "how much it varies from one draw of calibration text to the next",
        "보정 텍스트 추출마다 달라지는 정도",
    ),
    "term_band": (
        "`none` read again lies this far from itself; nothing smaller is claimed",
        "`none`을 다시 읽었을 때 자신과 이만큼 다릅니다. 이보다 작은 차이는 주장하지 않습니다",
    ),
    "flips": ("Read the answers that flipped", "바뀐 답 읽어 보기"),
    "flips_note": (
        "Every item whose answer is not what it was under `none`, by variant, task and language, the largest changes "
        "of margin first. A run keeps no text of items: it stands in the task's own data, under the name shown here. "
        "Choices count from 1. The arrow keys move through the list.",
        "`none`과 답이 달라진 모든 문항입니다. 변형·과제·언어별로, 마진이 크게 변한 것부터 놓았습니다. 실행 폴더에는 "
        "문항의 글이 없습니다. 글은 과제의 자료에 여기 적힌 이름으로 있습니다. 보기 번호는 1부터입니다. 위아래 화살표 "
        "키로 목록을 오갈 수 있습니다.",
    ),
    "flips_cut": (
        "{kept} of {all} are listed, those whose margin moved most.",
        "전체 {all}개 가운데 마진이 가장 크게 변한 {kept}개만 실었습니다.",
    ),
    "flip_lost": ("right → wrong", "정답 → 오답"),
    "flip_gained": ("wrong → right", "오답 → 정답"),
    "flip_moved": ("wrong → another wrong", "오답 → 다른 오답"),
    "by_task": ("Task", "과제"),
    "by_direction": ("Direction", "방향"),
    "flip_reader_filters": ("Which items to list", "목록에 둘 문항"),
    "flip_reader_count": (
        "{from} to {to} of {count} items ({all} in all)",
        "{count}개 중 {from}~{to}번째 문항(전체 {all}개)",
    ),
    "flip_reader_nothing": ("No item is like that.", "조건에 맞는 문항이 없습니다."),
    "flip_reader_id": ("content id", "내용 식별자"),
    "flip_reader_choice": ("{number} of {choices}", "{choices}개 중 {number}번"),
    "flip_reader_gold": ("right choice", "정답"),
    "flip_reader_was": ("chosen by none", "none의 선택"),
    "flip_reader_now": ("chosen by the variant", "변형의 선택"),
    "flip_reader_margin_was": ("margin under none, nats", "none의 마진, nat"),
    "flip_reader_margin_now": ("margin under the variant, nats", "변형의 마진, nat"),
    "flip_reader_change": ("change of the margin", "마진의 변화"),
    "flip_reader_unknown": ("not kept", "남아 있지 않음"),
}
