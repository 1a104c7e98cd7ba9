"""What a number means: unit, direction and words. Reports and gates read direction from here only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    description: str
    description_ko: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("nats_per_token", "nats", "lower", "negative log-likelihood per token", "토큰당 음의 로그 가능도"),
        Metric("perplexity", "", "lower", "exp of the mean nats per token", "토큰당 평균 nat의 지수"),
        Metric(
            "bits_per_byte", "bits", "lower", "bits per UTF-8 byte of the NFC text", "NFC 텍스트의 UTF-8 바이트당 비트"
        ),
        Metric("bits_per_sentence", "bits", "lower", "bits per aligned sentence", "정렬된 문장당 비트"),
        Metric(
            "kld_mean", "nats", "lower", "mean KL divergence from `none`, per token", "`none` 대비 토큰당 평균 KL 발산"
        ),
        Metric("kld_median", "nats", "lower", "median over tokens of the KL divergence", "토큰별 KL 발산의 중앙값"),
        Metric(
            "kld_p99",
            "nats",
            "lower",
            "99th percentile over tokens of the KL divergence",
            "토큰별 KL 발산의 99백분위수",
        ),
        Metric(
            "kld_p999",
            "nats",
            "lower",
            "99.9th percentile over tokens of the KL divergence",
            "토큰별 KL 발산의 99.9백분위수",
        ),
        Metric(
            "kld_bits_per_sentence",
            "bits",
            "lower",
            "KL divergence summed per aligned sentence",
            "정렬된 문장당 KL 발산의 합",
        ),
        Metric(
            "kld_share_of_entropy",
            "",
            "lower",
            "summed KL over summed entropy of `none`",
            "`none`의 엔트로피 합 대비 KL 합",
        ),
        Metric(
            "top1_agreement",
            "",
            "higher",
            "share of tokens with the same most likely token",
            "가장 유력한 토큰이 같은 비율",
        ),
        Metric(
            "delta_p_rms",
            "",
            "lower",
            "root mean square change of the true token's probability",
            "정답 토큰 확률 변화의 제곱평균제곱근",
        ),
        Metric(
            "accuracy",
            "",
            "higher",
            "share of items whose right choice is the most likely",
            "정답 선택지가 가장 유력한 문항의 비율",
        ),
        Metric(
            "accuracy_per_byte",
            "",
            "higher",
            "share of items whose right choice is the most likely per UTF-8 byte",
            "UTF-8 바이트당 로그 가능도로 정답 선택지가 가장 유력한 문항의 비율",
        ),
        Metric(
            "margin",
            "nats",
            "higher",
            "log-likelihood of the right choice minus that of the best other, per item",
            "문항당 정답 선택지와 최선의 오답 선택지의 로그 가능도 차",
        ),
        Metric(
            "wrong_language",
            "",
            "lower",
            "share of answers in another language than their question",
            "질문과 다른 언어로 쓴 답변의 비율",
        ),
        Metric(
            "mixed_script",
            "",
            "lower",
            "share of answers in the right language with letters of a foreign script strewn in",
            "언어는 맞으나 다른 문자가 섞인 답변의 비율",
        ),
        Metric(
            "looped",
            "",
            "lower",
            "share of answers that end by repeating themselves",
            "같은 말을 되풀이하며 끝난 답변의 비율",
        ),
        Metric(
            "truncated",
            "",
            "lower",
            "share of answers cut off at the limit of tokens",
            "토큰 한도에서 잘린 답변의 비율",
        ),
        Metric("empty", "", "lower", "share of answers without a word", "빈 답변의 비율"),
        Metric("tokens_per_answer", "tokens", "neither", "new tokens per answer", "답변당 새 토큰 수"),
        Metric(
            "win_rate",
            "",
            "higher",
            "share of duels won, ties half, averaged over orders and turns",
            "순서와 턴에 걸쳐 평균한 승률(무승부는 절반)",
        ),
        Metric(
            "win_rate_conservative",
            "",
            "higher",
            "win rate where both orders must agree, else a tie",
            "두 순서의 판정이 같아야 이긴 것으로 보는 승률(다르면 무승부)",
        ),
        Metric(
            "win_rate_gated",
            "",
            "higher",
            "win rate where an answer in the wrong language loses to one in the right language",
            "다른 언어로 쓴 답이 맞는 언어로 쓴 답에 지는 것으로 본 승률",
        ),
        Metric(
            "win_rate_length_controlled",
            "",
            "higher",
            "win rate at equal length of both answers",
            "두 답의 길이가 같다고 보았을 때의 승률",
        ),
        Metric(
            "win_rate_worst",
            "",
            "higher",
            "win rate if every game without a verdict had been lost",
            "판정이 없는 대결을 모두 패배로 본 승률",
        ),
        Metric(
            "win_rate_best",
            "",
            "higher",
            "win rate if every game without a verdict had been won",
            "판정이 없는 대결을 모두 승리로 본 승률",
        ),
        Metric(
            "position_consistency",
            "",
            "higher",
            "share of turns with one verdict in both orders",
            "두 순서의 판정이 같은 턴의 비율",
        ),
        Metric(
            "first_slot_share",
            "",
            "neither",
            "share won by the answer shown first where the order decides; a half is unbiased",
            "순서가 결과를 좌우할 때 먼저 제시된 답이 이긴 비율(절반이면 치우침 없음)",
        ),
        Metric("ties", "", "neither", "share of games called a tie", "무승부로 판정된 대결의 비율"),
        Metric("errors", "", "lower", "share of matches without a verdict", "판정이 없는 대결의 비율"),
        Metric("total_bytes", "bytes", "lower", "all tensors, tied ones once", "모든 텐서의 바이트(공유 텐서는 한 번)"),
        Metric("file_bytes", "bytes", "lower", "safetensors files as stored", "저장된 safetensors 파일 크기"),
        Metric("code_bytes", "bytes", "lower", "packed codes", "묶인 코드"),
        Metric("scale_bytes", "bytes", "lower", "scales and zeros", "스케일과 영점"),
        Metric(
            "side_bytes", "bytes", "lower", "other side tensors of compressed layers", "압축 층의 그 밖의 보조 텐서"
        ),
        Metric(
            "embedding_bytes",
            "bytes",
            "lower",
            "input embedding (and the head, if tied)",
            "입력 임베딩(공유 시 출력층 포함)",
        ),
        Metric("head_bytes", "bytes", "lower", "output head, if not tied", "출력층(공유하지 않을 때)"),
        Metric(
            "rest_bytes", "bytes", "lower", "norms, biases and layers left as they were", "정규화·편향과 손대지 않은 층"
        ),
        Metric(
            "bits_per_weight",
            "bits",
            "lower",
            "bits per compressed weight, side tensors included",
            "보조 텐서를 포함한 압축 가중치당 비트",
        ),
        Metric(
            "prefill_tokens_per_second",
            "tokens/s",
            "higher",
            "tokens of a prompt read per second",
            "초당 읽은 프롬프트 토큰",
        ),
        Metric("decode_tokens_per_second", "tokens/s", "higher", "tokens made per second", "초당 생성한 토큰"),
        Metric(
            "peak_memory", "bytes", "lower", "most memory used while reading and making", "읽기와 생성 중 최대 메모리"
        ),
        Metric(
            "flops_per_token",
            "operations",
            "lower",
            "operations of matrix products per token",
            "토큰당 행렬곱 연산 수",
        ),
        Metric(
            "projection_flops",
            "operations",
            "lower",
            "those of the attention's linears",
            "어텐션 선형층(Q, K, V, O)의 연산",
        ),
        Metric(
            "attention_flops", "operations", "lower", "those of attention over the context", "문맥에 대한 어텐션의 연산"
        ),
        Metric("mlp_flops", "operations", "lower", "those of the MLP's linears", "MLP 선형층의 연산"),
        Metric("head_flops", "operations", "lower", "those of the vocabulary head", "출력층의 연산"),
        Metric(
            "bytes_per_token",
            "bytes",
            "lower",
            "weights as stored, and cache, read per token",
            "토큰당 읽는 바이트(저장된 가중치와 캐시)",
        ),
        Metric(
            "projection_traffic",
            "bytes",
            "lower",
            "those of the attention's linears",
            "어텐션 선형층(Q, K, V, O)의 바이트",
        ),
        Metric("attention_traffic", "bytes", "lower", "those of cached keys and values", "캐시된 키와 값의 바이트"),
        Metric("mlp_traffic", "bytes", "lower", "those of the MLP's linears", "MLP 선형층의 바이트"),
        Metric("head_traffic", "bytes", "lower", "those of the vocabulary head", "출력층의 바이트"),
    )
}
