"""The page's words on answers and judges, in English and Korean, side by side."""

from __future__ import annotations

from collections.abc import Mapping

# key: (English, Korean)
JUDGED: Mapping[str, tuple[str, str]] = {
    "wins": ("Whose answers judges prefer", "심판이 고른 답"),
    "wins_note": (
        "Both answers to a question are shown to a judge in both orders. Bars: how turns came out, a win or a loss "
        "only where both orders say so. Mark and line: the win rate with its interval over questions, ties half, "
        "averaged over orders and turns; this is the one that decides. The conservative rate counts what the orders "
        "decide as a tie and so leans to 50%; the language-gated one lets an answer in the wrong language lose; "
        "neither decides, nor does the rate at equal length. The line at 50% is an even match. A/A: `none` against "
        "itself, which comes out even by construction and tells what the judge makes of no difference; against second "
        "answers of its own it gives the noise floor, a grey band around the line.",
        "같은 질문에 대한 두 답변을 심판에게 순서를 바꾸어 두 번 보여 줍니다. 막대는 턴의 결과이며, 두 순서의 판정이 "
        "같을 때만 승이나 패로 칩니다. 표식과 선은 승률과 문항에 대한 구간입니다. 승률은 무승부를 절반으로 치고 순서와 "
        "턴에 걸쳐 평균한 값으로, 판단은 이 값으로만 합니다. 보수적 승률은 순서에 따라 갈린 턴을 무승부로 보므로 50%에 "
        "쏠리고, 언어 반영 승률은 다른 언어로 쓴 답을 패배로 봅니다. 이 둘과 같은 길이로 맞춘 승률은 참고용입니다. 50% "
        "선은 대등함을 뜻합니다. A/A는 `none`을 그 자신과 견준 것으로, 같은 답이므로 승률은 언제나 50%이며 차이가 없을 "
        "때 심판이 무엇을 보는지 나타냅니다. 자신의 두 번째 답변과 견준 결과는 측정 잡음 수준이며 50% 선 "
        "둘레의 회색 띠입니다.",
    ),
    "win_parts": (
        "By category and turn: to explore, no claim rests on it; p by Benjamini and Hochberg over all parts and "
        "languages of a variant",
        "분야별, 턴별 승률: 살펴보기 위한 표이며 근거로 삼지 않습니다. p는 변형의 모든 부분과 언어에 걸친 "
        "벤자미니-호흐베르크 보정값",
    ),
    "part": ("part", "부분"),
    "p_explored": ("p (Benjamini-Hochberg)", "p(벤자미니-호흐베르크)"),
    "all_wins": ("Every win rate in words", "모든 승률을 말로"),
    "least_wins": ("Wins least", "승률이 가장 낮은 언어"),
    "rate_mark": ("win rate with {level} interval", "승률과 {level} 구간"),
    "percent_of_turns": ("% of turns", "턴의 비율(%)"),
    "percent_of_answers": ("% of answers", "답변의 비율(%)"),
    "questions": ("questions", "문항"),
    "against": ("against", "상대"),
    "win_rate": ("win rate", "승률"),
    "win_conservative": ("conservative", "보수적 승률"),
    "win_length_controlled": ("at equal length", "같은 길이로 맞춘 승률"),
    "win_gated": ("language-gated", "언어 반영 승률"),
    "win_gap": ("gap over English, points", "영어 대비 격차, 포인트"),
    "gap_established": ("established", "확인됨"),
    "not_comparable": ("not comparable", "견줄 수 없음"),
    "no_length_control": ("No rate at equal length: {reason}.", "같은 길이로 맞춘 승률이 없는 까닭: {reason}."),
    "no_language_gate": ("No language-gated rate: {reason}.", "언어 반영 승률이 없는 까닭: {reason}."),
    "no_aa": (
        "No noise floor: `none` was not judged against second answers of its own. `again = true` in the [judge] table "
        "of a sweep has it answer twice.",
        "`none`의 두 번째 답변을 판정하지 않아 측정 잡음 수준을 알 수 없습니다. 스윕의 [judge] 표에 `again = true`를 "
        "적으면 "
        "`none`이 두 번 답합니다.",
    ),
    "aa_even": (
        "The noise floor is 0: the second answers of `none` come out even on every question.",
        "측정 잡음 수준은 0입니다. `none`의 두 번째 답변이 모든 문항에서 첫 답변과 비겼습니다.",
    ),
    "answered_again": ("second answers", "두 번째 답변"),
    "one_question": (
        "A single question shows nothing about a win rate: there is no interval.",
        "문항 하나로는 승률에 대해 알 수 있는 것이 없어 구간을 구하지 못합니다.",
    ),
    "duel_win": ("won", "승"),
    "duel_tie": ("tie in both orders", "두 순서 모두 무승부"),
    "duel_split": ("the order decides", "순서에 따라 갈림"),
    "duel_loss": ("lost", "패"),
    "duel_unread": ("no verdict", "판정 없음"),
    "duel_is_win": ("win", "승"),
    "duel_is_tie": ("tie", "무승부"),
    "duel_is_loss": ("loss", "패"),
    "duel_is_unread": ("no verdict", "판정 없음"),
    "judges": ("How far the judges are to be trusted", "심판은 얼마나 믿을 만한가"),
    "judges_note": (
        "A sound judge gives one verdict in both orders, favours neither place, and calls `none` against itself a tie. "
        "Win rates of two languages can be compared only where the judge does equally well in both.",
        "믿을 만한 심판은 순서를 바꾸어도 판정이 같고, 어느 자리도 편들지 않으며, `none`과 그 자신의 대결을 무승부로 "
        "봅니다. 두 언어의 승률은 심판이 두 언어에서 똑같이 믿을 만할 때만 견줄 수 있습니다.",
    ),
    "judge": ("judge", "심판"),
    "the_judge": ("The judge", "심판"),
    "weak_judges": (
        "{judge} is a weak judge in {languages}: its win rates there establish nothing.",
        "{judge}: {languages}에서 약한 심판입니다. 그 언어에서 이 심판의 승률로 확인되는 것은 없습니다.",
    ),
    "open_judges": (
        "Too little was judged to vouch for {judge} as a judge in {languages}, or to reject it.",
        "{judge}: {languages}에서 믿을 만한 심판인지 판단하기에는 판정이 너무 적습니다.",
    ),
    "judge_kind": ("kind", "종류"),
    "prompts": ("prompts", "프롬프트"),
    "card_consistency": ("same in both orders", "두 순서 판정 일치"),
    "card_first_slot_share": ("first slot wins, of the rest", "나머지에서 첫 자리 승"),
    "card_ties": ("ties", "무승부"),
    "card_aa_ties": ("ties, none against itself", "A/A 무승부"),
    "card_with_people": ("agrees with people", "사람과의 일치"),
    "card_between_jurors": ("jurors agree", "심판 사이 일치"),
    "judge_weak": ("weak", "약함"),
    "judge_open": ("not known", "알 수 없음"),
    "judge_sound": ("nothing against it", "결격 없음"),
    "answered": ("Answers that failed by themselves", "판정 없이도 드러나는 답변의 결함"),
    "answered_note": (
        "Shares of answers, with {level} intervals over questions: in another language than asked, with letters of a "
        "foreign script strewn in, ending in a loop, cut off at the limit of tokens, empty. The rates of `none` stand "
        "beside them; lower is better.",
        "답변 가운데 질문과 다른 언어로 쓴 것, 다른 문자가 섞인 것, 같은 말을 되풀이하며 끝난 것, 토큰 한도에서 잘린 "
        "것, 빈 것의 비율과 문항에 대한 {level} 구간입니다. `none`의 비율과 견주어 보십시오. 작을수록 좋습니다.",
    ),
    "share_wrong_language": ("wrong language", "다른 언어"),
    "share_mixed_script": ("mixed script", "문자 섞임"),
    "share_looped": ("loops", "되풀이"),
    "share_truncated": ("cut off", "잘림"),
    "share_empty": ("empty", "빈 답변"),
    "tokens_per_answer": ("tokens per answer", "답변당 토큰"),
    "duels": ("Read the answers side by side", "답변 나란히 읽기"),
    "duels_note": (
        "Every judged pair of answers with what the judge said in both games. A judge that says nothing has the "
        "probabilities of its verdicts there: A, the answer shown first, B, the other, and C, a tie. The arrow keys "
        "move through the list.",
        "판정한 모든 답변 쌍과 두 판정에서 심판이 한 말입니다. 말을 하지 않는 심판은 각 판정의 확률을 적습니다. A는 "
        "먼저 제시된 답, B는 나중 답, C는 무승부입니다. 위아래 화살표 키로 목록을 오갈 수 있습니다.",
    ),
    "needs_script": (
        "This reader needs JavaScript; everything else on this page does without.",
        "이 목록을 읽으려면 자바스크립트가 필요합니다. 이 페이지의 나머지는 자바스크립트 없이 볼 수 있습니다.",
    ),
    "reader_failed": (
        "This browser cannot unfold the answers; one of 2023 or later can.",
        "이 브라우저로는 답변을 펼칠 수 없습니다. 2023년 이후의 브라우저를 쓰십시오.",
    ),
    "by_language": ("Language", "언어"),
    "by_category": ("Category", "분야"),
    "by_outcome": ("Outcome", "결과"),
    "by_wrong": ("Wrong language", "다른 언어로 쓴 답"),
    "by_variant": ("Variant", "변형"),
    "by_against": ("Against", "상대"),
    "by_judge": ("Judge", "심판"),
    "wrong_ours": ("the variant's answer", "변형의 답"),
    "wrong_theirs": ("its opponent's answer", "상대의 답"),
    "wrong_both": ("both answers", "양쪽 답"),
    "wrong_neither": ("neither answer", "없음"),
    "wrong_unknown": ("language not told", "언어 판별 안 됨"),
    "category_writing": ("writing", "글쓰기"),
    "category_roleplay": ("roleplay", "역할극"),
    "category_reasoning": ("reasoning", "추론"),
    "category_math": ("math", "수학"),
    "category_coding": ("coding", "코딩"),
    "category_extraction": ("extraction", "정보 추출"),
    "category_stem": ("STEM", "이공계"),
    "category_humanities": ("humanities", "인문"),
    "category_unknown": ("not known", "알 수 없음"),
    "duel_reader_filters": ("Which answers to list", "목록에 둘 답변"),
    "reader_all": ("all", "전체"),
    "duel_reader_count": (
        "{from} to {to} of {count} pairs ({all} in all)",
        "{count}쌍 중 {from}~{to}번째(전체 {all}쌍)",
    ),
    "duel_reader_nothing": ("No pair of answers is like that.", "조건에 맞는 답변 쌍이 없습니다."),
    "reader_previous": ("Previous page", "이전 쪽"),
    "reader_next": ("Next page", "다음 쪽"),
    "duel_reader_turn": ("Turn {number}", "{number}번째 턴"),
    "duel_reader_juror": ("Judge {number}", "심판 {number}"),
    "duel_reader_first": ("{who} shown first", "{who} 먼저 제시"),
    "duel_reader_second": ("{who} shown second", "{who} 나중에 제시"),
    "duel_reader_won": ("{who} wins", "{who} 승"),
    "duel_reader_tie": ("tie", "무승부"),
    "duel_reader_no_verdict": ("no verdict", "판정 없음"),
    "duel_reader_no_words": ("The judge's words were not kept.", "심판이 한 말이 남아 있지 않습니다."),
    "duel_reader_no_answer": ("No answer to this turn.", "이 턴에는 답변이 없습니다."),
    "duel_reader_empty": ("(empty)", "(빈 답변)"),
}
