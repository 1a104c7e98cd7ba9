"""Every word of the page in English and Korean, side by side, so that none can be missing in one of them."""

from __future__ import annotations

from collections.abc import Mapping

from reports.across_words import ACROSS
from reports.judged_words import JUDGED
from reports.section_words import SECTIONS
from results.metric import METRICS

LANGUAGES = ("en", "ko")

OWN_NAMES: Mapping[str, str] = {
    "en": "English",
    "ko": "한국어",
    "ja": "日本語",
    "zh": "中文",
    "fr": "Français",
    "es": "Español",
    "vi": "Tiếng Việt",
    "id": "Bahasa Indonesia",
    "th": "ไทย",
    "ar": "العربية",
    "de": "Deutsch",
    "pt": "Português",
    "ru": "Русский",
    "hi": "हिन्दी",
}

# key: (English, Korean)
TEXT: Mapping[str, tuple[str, str]] = {
    "title": ("What compression cost, language by language", "언어별 압축 손실 보고서"),
    "lead_models": ("Model", "모델"),
    "lead_variants": ("Variants", "변형"),
    "lead_languages": ("Languages", "언어"),
    "contents": ("On this page", "이 페이지의 내용"),
    "verdicts": ("Verdict", "결론"),
    "no_verdicts": (
        "No statement can be made yet: no variant has been measured against `none`.",
        "아직 말할 수 있는 것이 없습니다. `none`과 비교해 측정된 변형이 없습니다.",
    ),
    "summary": ("Summary", "요약"),
    "summary_note": (
        "Extra bits per parallel sentence over `none`, ± half the {level} interval; lower is better.",
        "`none`보다 늘어난 문장당 비트 수(병렬 문장 기준)와 {level} 구간의 절반 너비(±). 작을수록 좋습니다.",
    ),
    "by_size": ("Perplexity against size", "크기와 퍼플렉시티"),
    "by_size_note": (
        "One panel for each language; lower and further left is better. The line joins the Pareto front: variants "
        "that no other beats in both size and perplexity. Bars are {level} intervals over passages; the dotted "
        "line is `none`. Perplexities of different languages cannot be compared with each other.",
        "언어마다 칸이 하나입니다. 왼쪽 아래일수록 좋습니다. 선은 파레토 경계, 곧 크기와 퍼플렉시티 모두에서 "
        "이기는 다른 변형이 없는 변형들을 잇습니다. 막대는 지문에 대한 {level} 구간이고, 점선은 `none`입니다. 서로 "
        "다른 언어의 퍼플렉시티는 견줄 수 없습니다.",
    ),
    "worst_panel": ("worst", "가장 나쁨"),
    "worst_note": (
        "The framed panel is the language that loses most under the most variants.",
        "테두리를 두른 칸은 가장 많은 변형에서 가장 크게 나빠진 언어입니다.",
    ),
    "changes": ("What each language lost", "언어별 손실"),
    "changes_note": (
        "Extra bits per parallel sentence over `none`, with {level} intervals over passages. The same content "
        "stands in the denominator in every language. Each panel has its own scale where the variants differ "
        "widely.",
        "`none`보다 늘어난 문장당 비트 수와 지문에 대한 {level} 구간입니다. 모든 언어가 같은 내용을 분모로 씁니다. "
        "변형 사이의 차이가 크면 칸마다 눈금이 다릅니다.",
    ),
    "own_scale": ("own scale", "눈금 다름"),
    "gaps": ("The language gap", "언어 격차"),
    "gaps_note": (
        "How many more bits per parallel sentence a language loses than English, with {level} intervals. Right of "
        "zero: the language loses more than English. A filled mark is established on every scale, a half-filled "
        "one depends on the scale, an open one is not established.",
        "영어보다 문장당 몇 비트를 더 잃는지와 {level} 구간입니다. 0의 오른쪽이면 영어보다 더 잃습니다. 채운 "
        "표식은 모든 척도에서 확인됨, 반만 채운 표식은 척도에 따라 다름, 빈 표식은 확인되지 않음을 뜻합니다.",
    ),
    "points": ("The gap in context", "격차의 맥락"),
    "points_note": (
        "Each point is a variant: what English lost across, what the language lost upwards. On the diagonal both "
        "lose the same; above it the language loses more. Harming English would shrink a gap, so the gap is never "
        "shown alone.",
        "점 하나가 변형 하나입니다. 가로는 영어의 손실, 세로는 그 언어의 손실입니다. 대각선 위의 점은 그 언어가 더 "
        "잃은 변형입니다. 영어를 망쳐도 격차는 줄어들므로 격차만 따로 보여 주지 않습니다.",
    ),
    "sizes": ("Where the bytes are", "바이트 구성"),
    "sizes_note": (
        "Tied tensors are counted once; sizes are measured from the stored tensors. MB is a million bytes.",
        "공유 텐서는 한 번만 셉니다. 크기는 저장된 텐서에서 잰 값이며 1 MB는 백만 바이트입니다.",
    ),
    "untouched": (
        "No method in this run touches {megabytes} MB: {share} of the bytes of `none` for {model}.",
        "{model}: 이 실행의 어떤 방법도 {megabytes} MB는 건드리지 않습니다. `none` 전체 바이트의 {share}입니다.",
    ),
    "fidelity": ("How far the predictions moved", "예측이 달라진 정도"),
    "fidelity_note": (
        "Change, not damage: the divergence of each variant's next-token distribution from that of `none` on the "
        "same text. Quantiles are per token within one language. The rows of `none` are `none` read again, each "
        "passage alone: what rounding by itself gives.",
        "손상이 아니라 변화입니다. 같은 텍스트에서 다음 토큰 분포가 `none`과 얼마나 다른지를 나타냅니다. 분위수는 "
        "한 언어 안의 토큰에 대한 값입니다. `none` 행은 지문을 하나씩 따로 다시 읽은 결과로, 반올림만으로 생기는 "
        "차이입니다.",
    ),
    "speed": ("What a token costs", "토큰당 비용"),
    "speed_note": (
        "Operations and bytes are counted at the end of the prompt; bytes are of weights as stored, and of the cache. "
        "Speeds are medians between the smallest and the largest repetition, and those of different variants were "
        "timed one after the other. Only what computes in the form it is stored in was timed.",
        "연산과 바이트는 프롬프트 끝에서 센 값이며, 바이트는 저장된 가중치와 캐시의 것입니다. 속도는 중앙값이고 괄호는 "
        "가장 느린 반복과 가장 빠른 반복입니다. 변형은 하나씩 쟀습니다. 저장된 꼴 그대로 계산하는 것만 쟀습니다.",
    ),
    "not_timed": ("Not timed: {variants}: {reason}.", "속도를 재지 않음: {variants}: {reason}."),
    "prefill": ("prompt read, tokens/s", "프롬프트 읽기, 초당 토큰"),
    "decode": ("tokens made, tokens/s", "생성, 초당 토큰"),
    "peak_memory": ("most memory, MB", "최대 메모리, MB"),
    "flops": ("operations per token, millions", "토큰당 연산, 백만"),
    "projection_flops": ("of them q, k, v, o, × none", "그중 q, k, v, o, none의 배수"),
    "traffic": ("bytes per token, MB", "토큰당 바이트, MB"),
    "parity": ("Ours beside the libraries", "라이브러리와 나란히"),
    "parity_note": (
        "A method of ours and a library's at the same bits and groups, or the same sparsity, paired by passage; below "
        "zero, ours changed less. Seconds are those of this run: a variant that lay in the cache took none. A library "
        "starts a process of its own, whose start is in its seconds and not in what it says it took.",
        "비트와 그룹(또는 희소도)이 같은 자체 방법과 라이브러리를 지문별로 짝지었습니다. 0보다 작으면 자체 방법이 덜 "
        "바뀐 것입니다. 시간은 이 실행에서 걸린 것이며, 캐시에 있던 변형은 시간이 들지 않습니다. 라이브러리는 따로 "
        "프로세스를 띄우는데, 그 시간은 앞의 시간에는 들어 있고 라이브러리가 밝힌 시간에는 들어 있지 않습니다.",
    ),
    "parity_said": (
        "{ours} against {theirs}, {measure}: better in {win}, tied in {tie} and worse in {loss} of {all} languages.",
        "{ours} 대 {theirs}, {measure}: {all}개 언어 가운데 {win}개에서 낫고 {tie}개에서 비기고 {loss}개에서 못합니다.",
    ),
    "parity_costs": ("What it took", "든 비용"),
    "ours": ("ours", "자체 방법"),
    "theirs": ("library", "라이브러리"),
    "ours_less_theirs": ("ours − library", "자체 − 라이브러리"),
    "compress_seconds": ("compressing, seconds", "압축, 초"),
    "measurements": ("All measurements", "모든 측정값"),
    "not_established": ("What was not established", "확인되지 않은 것"),
    "nothing_open": ("Nothing that was asked is open.", "물은 것 가운데 남은 것이 없습니다."),
    "failures": ("Failures and skips", "실패와 건너뜀"),
    "no_failures": ("Every cell was measured.", "모든 셀을 측정했습니다."),
    "failures_note": (
        "{count} cells have no numbers. Each is listed with its reason.",
        "{count}개 셀에 수치가 없습니다. 각각의 이유는 아래와 같습니다.",
    ),
    "provenance": ("Provenance", "출처와 조건"),
    "variants_table": ("Variants", "변형"),
    "environments": ("Environments", "환경"),
    "texts": ("Texts", "텍스트"),
    "seconds_table": ("Seconds by phase", "단계별 시간(초)"),
    "notes_table": ("Notes kept with the numbers", "수치와 함께 남긴 기록"),
    "statistics": ("How to read the numbers", "수치를 읽는 법"),
    "statistics_1": (
        "The unit of sampling is the passage, scored whole and aligned across languages; every interval resamples "
        "or averages passages jointly for all languages and variants.",
        "표본의 단위는 지문입니다. 지문은 통째로 채점되고 언어 사이에 정렬되어 있으며, 모든 구간은 언어와 변형에 "
        "같은 지문을 함께 써서 구합니다.",
    ),
    "statistics_2": (
        "A gap is called established only when bits per sentence, nats per token and relative loss agree in sign "
        "and each passes after Holm's correction over languages; nothing here is a post-hoc power.",
        "문장당 비트, 토큰당 nat, 상대 손실의 부호가 같고 언어 수에 대한 홀름 보정 뒤에도 모두 유의할 때만 격차가 "
        "확인되었다고 말합니다.",
    ),
    "statistics_3": (
        "An interval holds sampling noise of the texts only; what was not measured is written as a word, never as "
        "zero.",
        "구간은 텍스트 표본의 잡음만 담습니다. 재지 않은 것은 0이 아니라 말로 적습니다.",
    ),
    "table_and_csv": ("Table and CSV", "표와 CSV"),
    "download_csv": ("CSV file", "CSV 파일"),
    "download_svg": ("SVG file", "SVG 파일"),
    "rows": ("rows", "행"),
    "variant": ("variant", "변형"),
    "language": ("language", "언어"),
    "model": ("model", "모델"),
    "method": ("method", "방법"),
    "params": ("parameters", "매개변수"),
    "calibration": ("calibration", "보정 텍스트"),
    "draw": ("draw", "추출"),
    "seed": ("seed", "시드"),
    "dtype": ("dtype", "자료형"),
    "device": ("device", "장치"),
    "weights": ("base weights digest", "원본 가중치 다이제스트"),
    "revision": ("revision", "리비전"),
    "artifact": ("artifact digest", "산출물 다이제스트"),
    "task": ("task", "과제"),
    "protocol": ("protocol", "규약"),
    "corpus": ("corpus", "말뭉치"),
    "text": ("text fingerprint", "텍스트 지문"),
    "limit": ("limit", "제한"),
    "status": ("status", "상태"),
    "reason": ("reason", "이유"),
    "cells": ("cells", "셀 수"),
    "note": ("note", "기록"),
    "value": ("value", "값"),
    "metric": ("metric", "지표"),
    "unit": ("unit", "단위"),
    "low": ("low", "하한"),
    "high": ("high", "상한"),
    "level": ("level", "수준"),
    "interval": ("interval", "구간 방법"),
    "clusters": ("clusters", "단위 수"),
    "count": ("n", "n"),
    "total": ("total", "합계"),
    "megabytes": ("size, MB", "크기, MB"),
    "bits_per_weight": ("bits per weight", "가중치당 비트"),
    "bits_per_weight_short": ("bpw", "bpw"),
    "perplexity": ("perplexity", "퍼플렉시티"),
    "bits_per_byte": ("bits per byte", "바이트당 비트"),
    "bits_per_sentence": ("bits per sentence", "문장당 비트"),
    "extra_bits": ("extra bits per sentence", "문장당 추가 비트"),
    "extra_bits_in": ("{language}: extra bits per sentence", "{language}: 문장당 추가 비트"),
    "log_ratio": ("ln(PPL / PPL of none)", "ln(PPL / none의 PPL)"),
    "gap": ("gap, bits per sentence", "격차, 문장당 비트"),
    "per_token": ("gap, nats per token", "격차, 토큰당 nat"),
    "relative": ("relative gap", "상대 격차"),
    "p_adjusted": ("adjusted p", "보정 p"),
    "not_ruled_out": ("largest gap not ruled out", "배제되지 않은 최대 격차"),
    "verdict": ("verdict", "판정"),
    "established": ("established on every scale", "모든 척도에서 확인됨"),
    "depends on the scale": ("depends on the scale", "척도에 따라 다름"),
    "not established": ("not established", "확인되지 않음"),
    "decomposition": ("why (× English)", "까닭 (영어의 몇 배)"),
    "decomposed": ("{tokens}× tokens · {per_token}× damage per token", "토큰 {tokens}배 · 토큰당 손상 {per_token}배"),
    "worst": ("worst", "최악"),
    "worst_kld": ("mean KLD, worst", "평균 KLD, 최악"),
    "on_front": ("on the front", "경계 위"),
    "yes": ("yes", "예"),
    "no": ("no", "아니요"),
    "base": ("base", "기준"),
    "front": ("Pareto front", "파레토 경계"),
    "ok": ("measured", "측정됨"),
    "failed": ("failed", "실패"),
    "skipped": ("skipped", "건너뜀"),
    "not measured": ("not measured", "측정 안 됨"),
    "none_value": ("–", "–"),
    "code_bytes": ("codes", "코드"),
    "scale_bytes": ("scales and zeros", "스케일과 영점"),
    "side_bytes": ("side tensors", "보조 텐서"),
    "embedding_bytes": ("embeddings", "임베딩"),
    "head_bytes": ("head", "출력층"),
    "rest_bytes": ("rest", "나머지"),
    "total_bytes": ("total bytes", "전체 바이트"),
    "file_bytes": ("bytes on disk", "디스크 바이트"),
    "kld_mean": ("KLD mean", "KLD 평균"),
    "kld_median": ("KLD median", "KLD 중앙값"),
    "kld_p99": ("KLD 99%", "KLD 99%"),
    "kld_p999": ("KLD 99.9%", "KLD 99.9%"),
    "top1_agreement": ("top-1 agreement", "1순위 일치율"),
    "delta_p_rms": ("RMS Δp", "RMS Δp"),
    "kld_bits_per_sentence": ("KLD bits per sentence", "문장당 KLD 비트"),
    "comparisons": ("Method against method", "방법 대 방법"),
    "comparisons_note": (
        "Paired by passage; Holm's correction over the languages of each pair. A tie is a difference that was not "
        "established.",
        "지문별로 짝지어 견주고, 쌍마다 언어 수에 대한 홀름 보정을 했습니다. 무승부는 차이가 확인되지 않았다는 "
        "뜻입니다.",
    ),
    "answers": ("Answers that changed", "달라진 답"),
    "answers_note": (
        "Items with choices, answered by the choice that the model finds most likely. Equal accuracies hide answers "
        "that flip both ways, so the flips are counted; the plot shows the change of the margin, the log-likelihood "
        "of the right choice over the best other, which moves long before an answer flips. Bars are {level} "
        "intervals over items; left of zero is worse.",
        "모델이 가장 그럴듯하다고 보는 선택지를 답으로 삼습니다. 정답률이 같아도 답은 양쪽으로 뒤집힐 수 있으므로 "
        "뒤집힌 답을 따로 셉니다. 그림은 마진, 곧 정답과 최선의 오답의 로그 가능도 차가 변한 정도입니다. 마진은 답이 "
        "뒤집히기 훨씬 전부터 움직입니다. 막대는 문항에 대한 {level} 구간이며, 0의 왼쪽이면 나빠진 것입니다.",
    ),
    "all_answers": ("Every change of answers in words", "답의 변화를 모두 말로"),
    "items": ("items", "문항"),
    "accuracy": ("accuracy", "정답률"),
    "accuracy_none": ("accuracy of none", "none의 정답률"),
    "at_chance": ("none at chance", "none이 우연 수준"),
    "lost": ("lost", "잃음"),
    "gained": ("gained", "얻음"),
    "moved": ("wrong otherwise", "다른 오답"),
    "margin": ("change of the margin, nats per item", "마진의 변화, 문항당 nat"),
    "p_margin": ("adjusted p of the margin", "마진의 보정 p"),
    "margin_gap": ("gap of the margin over English, nats", "영어 대비 마진 격차, nat"),
    "by_source": ("The gap by the language passages were first written in", "지문을 처음 쓴 언어별 격차"),
    "source_language": ("first written in", "처음 쓴 언어"),
    "passages": ("passages", "지문 수"),
    "noise_floors": ("Noise floor: the original read twice", "측정 잡음 수준: 원본을 두 번 읽은 결과"),
    "band": ("band (±)", "띠(±)"),
    "margin_band": ("noise floor of the margin (±)", "마진의 측정 잡음 수준(±)"),
    "band_note": (
        "Grey bands are the noise floor: what `none` read again gives. Nothing inside one is called established.",
        "회색 띠는 측정 잡음 수준, 곧 `none`을 다시 읽기만 해도 생기는 차이입니다. 띠 안의 값은 확인되었다고 하지 "
        "않습니다.",
    ),
    "passage_sd": ("SD over passages", "지문 표준편차"),
    "draw_sd": ("SD over draws", "추출 표준편차"),
    "hardest_hit": ("Hardest hit", "가장 큰 손실"),
    "more_comparisons": (
        "{count} more comparisons stand under “Method against method”.",
        "나머지 비교 {count}개는 ‘방법 대 방법’에 있습니다.",
    ),
    "all_gaps": ("Every gap in words", "모든 격차를 말로"),
    "method_a": ("method", "방법"),
    "method_b": ("against", "상대"),
    "measure": ("measure", "척도"),
    "bits": ("extra bits per sentence", "문장당 추가 비트"),
    "kld": ("KLD bits per sentence", "문장당 KLD 비트"),
    "difference": ("difference", "차이"),
    "outcome": ("outcome", "결과"),
    "win": ("better", "나음"),
    "tie": ("tie", "무승부"),
    "loss": ("worse", "못함"),
    "setting": ("setting", "측정 조건"),
    "draws": ("draws", "추출 수"),
    "crossings": ("Crossings", "순위 역전"),
    "png_skipped": (
        "No PNG for {plot}: no installed font has {glyphs}. Install the Debian package fonts-noto-cjk and run the "
        "same command again; the SVG is complete.",
        "{plot}의 PNG를 만들지 않았습니다. 설치된 글꼴에 {glyphs} 글자가 없습니다. 데비안 패키지 fonts-noto-cjk를 "
        "설치하고 같은 명령을 다시 실행하십시오. SVG는 온전합니다.",
    ),
    **ACROSS,
    **JUDGED,
    **SECTIONS,
}


class Words(Mapping[str, str]):
    """The words of one language; an unknown key is an error of ours and raises KeyError."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"a report can be written in {' or '.join(LANGUAGES)}, not in {language!r}; use --lang en")
        self.language = language
        self._column = LANGUAGES.index(language)

    def __getitem__(self, key: str) -> str:
        return TEXT[key][self._column]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(TEXT)

    def __len__(self) -> int:
        return len(TEXT)

    def meaning(self, name: str) -> str:
        """One line on what a metric or a column is; empty for one that needs none."""
        if f"term_{name}" in TEXT:
            return self[f"term_{name}"]
        metric = METRICS.get(name)
        return "" if metric is None else (metric.description, metric.description_ko)[self._column]

    def say(self, key: str, **values: object) -> str:
        return self[key].format(**values)


def own_name(code: str) -> str:
    """What a language calls itself; the code where we do not know."""
    return OWN_NAMES.get(code, code)


def tagged_name(code: str) -> str:
    """``ko 한국어``: readable for who knows only the code, and for who knows only the language."""
    return f"{code} {OWN_NAMES[code]}" if code in OWN_NAMES else code
