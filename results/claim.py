"""What a run lets us say: types of the claims that ``results.claims`` makes. Statements carry their words with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.answers import AnswerChange
from results.cell import Variant
from results.contests import Comparison, Crossing
from results.equal_bytes import EqualBytes
from results.estimate import Estimate
from results.gap import Decomposition, Unmatched
from results.judged import WinRate
from results.noise import Floor
from results.reliability import Card
from results.sentences import Sentence

if TYPE_CHECKING:
    from results.advice import Advice


@dataclass(frozen=True)
class Change:
    """What one language lost under one variant."""

    variant: Variant
    label: str
    language: str
    setting: str
    log_ratio: Estimate
    """ln(PPL_q / PPL_none)."""
    perplexity_ratio: Estimate
    """Its exponential."""
    extra_bits_per_sentence: Estimate | None
    """None where the protocol keeps no sentences."""
    kld: Estimate | None
    """Summed KL divergence from `none`, bits per sentence: change, not damage. None if fidelity was not measured."""
    kld_share_of_entropy: Estimate | None
    """Summed KL over summed entropy of `none`."""
    p: float
    p_adjusted: float
    """Holm over the languages of the variant."""
    sentence_en: str
    sentence_ko: str
    draws: int = 1
    draw_sd: float | None = None
    """SD over draws of the extra bits per sentence; None for a single artifact."""
    passage_sd: float | None = None
    """SD over passages of the extra bits per sentence, draws averaged: what a plan needs; None without sentences."""
    unit: str = "sentence"
    """What the bits are counted per: ``document`` where nobody counted sentences."""
    floor: Floor | None = None
    """The noise floor of ``log_ratio``, where `none` was read twice."""
    bits_floor: Floor | None = None
    """That of the extra bits per sentence."""
    kld_floor: Floor | None = None
    """That of ``kld``, or of ``kld_share_of_entropy`` without sentences."""
    established: bool = False
    """Adjusted p at most 0.05, and outside the noise floor."""

    @property
    def inside_floor(self) -> bool:
        return self.floor is not None and self.floor.holds(self.log_ratio.value)


@dataclass(frozen=True)
class Gap:
    """How much more one language lost than English under one variant."""

    variant: Variant
    label: str
    language: str
    against: str
    setting: str
    headline: Estimate
    """Bits per parallel sentence."""
    per_token: Estimate
    """Nats per token."""
    relative: Estimate
    """Difference of ln(N_q / N_none)."""
    p_headline: float
    p_per_token: float
    p_relative: float
    p_adjusted: float
    """The largest of the three, Holm over the languages of the variant."""
    p_headline_adjusted: float
    verdict: str
    """``established``, ``depends on the scale`` or ``not established``."""
    change: float
    """The language's extra bits per sentence on the matched passages: a gap never stands alone."""
    change_against: float
    decomposition: Decomposition | None
    largest_not_ruled_out: float | None
    """max(|L|, |U|) of the 90% interval; None for a single passage."""
    passage_sd: float
    """SD over passages of the per-passage gap: what a plan needs to say what it can detect."""
    by_source_language: Mapping[str, Estimate]
    """The headline on the passages written in each source language; few passages, so no intervals."""
    sentence_en: str
    sentence_ko: str
    draws: int = 1
    draw_sd: float | None = None
    """SD over draws of the headline, beside ``passage_sd``; None for a single artifact."""
    unit: str = "sentence"
    floor: Floor | None = None
    """The noise floor of the headline."""

    @property
    def inside_floor(self) -> bool:
        return self.floor is not None and self.floor.holds(self.headline.value)


@dataclass(frozen=True)
class NotMeasured:
    """Cells of one variant and task without a number, and why."""

    variant: Variant
    label: str
    task: str
    languages: tuple[str, ...]
    status: str
    reason: str
    sentence_en: str
    sentence_ko: str


@dataclass(frozen=True)
class Claims:
    level: float
    changes: tuple[Change, ...]
    gaps: tuple[Gap, ...]
    method_changes: tuple[Change, ...]
    method_gaps: tuple[Gap, ...]
    crossings: tuple[Crossing, ...]
    """Those established."""
    comparisons: tuple[Comparison, ...]
    """Every two methods in every language, on extra bits and on KL divergence."""
    comparison_sentences: tuple[Sentence, ...]
    """One for each two methods and measure."""
    not_measured: tuple[NotMeasured, ...]
    unmatched: tuple[Unmatched, ...]
    not_established: tuple[Sentence, ...]
    notes: tuple[Sentence, ...]
    answers: tuple[AnswerChange, ...] = ()
    """What became of answers to items, by variant, task and language."""
    floors: tuple[Floor, ...] = ()
    """Noise floors of every metric, language and setting in which `none` was read twice."""
    win_rates: tuple[WinRate, ...] = ()
    """What judges say of the answers, by variant, opponent, judge and language; A/A among them."""
    judges: tuple[Card, ...] = ()
    """How far each judge is to be trusted in each language."""
    advice: tuple[Advice, ...] = ()
    """What to take under which size, for Korean and for the language that loses most; of each model's first setting."""
    equal_bytes: tuple[EqualBytes, ...] = ()
    """Sparse and low-rank methods beside dense ones of nearly equal bytes."""
