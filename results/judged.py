"""What judges say of each variant's answers: win rates, their shares, and how much less often a language wins.

The question is the unit. Holm over the languages of one variant, opponent and judge. A win rate differs from an even
match, and a gap is established, only where the judge is not shown to be weak; a gap also needs the judge's reliability
to be alike in both languages, as far as it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from results import winrate
from results.again import AGAIN, is_again
from results.cell import Variant, canonical_json
from results.estimate import Estimate, Sample
from results.games import read_asked
from results.judged_parts import Part, explored, parts
from results.judged_sentences import win_rate, win_rate_gap, win_rates_open
from results.labels import labels
from results.multiplicity import holm
from results.noise import Floor, Kind, signed_floor
from results.record import Record
from results.reliability import TASK, Card, games_of, is_aa
from results.resampling import sign_flip
from results.sentences import Sentence
from results.statistics import ALPHA, LEVEL
from results.store import Run

AGAINST = "en"
EVEN = 0.5
PARALLEL = ("bundled",)
"""Question sets whose languages are translations of each other; others are matched by the ids of questions."""
Comparable = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class WinRate:
    """One variant's answers beside its opponent's in one language, as one judge sees them."""

    variant: Variant
    label: str
    against: str
    """The opponent's label."""
    judge: str
    language: str
    setting: str
    """What tells it from other win rates of the variant and language: judge and opponent, where there are several."""
    aa: bool
    """The variant against itself: nothing can be won, and what is not a tie is the judge's."""
    again: bool
    """Of those, against its second answers to the same questions: what is not even is noise."""
    rate: Estimate
    """Averaged over orders and turns: the one that decides."""
    conservative: Estimate | None
    length_controlled: Estimate | None
    gated: Estimate | None
    shares: winrate.Shares
    turns: int
    p: float
    """Sign flips by question, of an even match."""
    floor: Floor | None
    """What `none` against its second answers gives under the same judge, less a half; None where it was not judged."""
    card: Card | None
    notes: Mapping[str, str]
    """The record's: why a rate is missing (``length_control``, ``language_gate``), by what rule it was ``chosen``."""
    gap: Estimate | None = None
    """Rate less that of English, on the questions that both languages have; None where there is none."""
    p_gap: float = 1.0
    comparable: Comparable = "unknown"
    """Whether consistency and A/A ties of the judge are alike in both languages."""
    parallel: bool = False
    """Whether the two languages' questions are translations of each other, or only matched by id."""
    p_adjusted: float = 1.0
    p_gap_adjusted: float = 1.0
    parts: tuple[Part, ...] = ()
    """By category and turn, where the run holds the questions: to explore."""
    sentence_en: str = ""
    sentence_ko: str = ""

    @property
    def questions(self) -> int:
        return self.rate.clusters or 0

    @property
    def weak(self) -> bool:
        """Whether the judge is shown to be weak in this language."""
        return self.card is not None and bool(self.card.weaknesses)

    @property
    def outcome(self) -> Literal["win", "tie", "loss"]:
        """``tie``: no difference established."""
        inside = self.floor is not None and self.floor.holds(self.rate.value - EVEN)
        if self.aa or self.weak or inside or self.p_adjusted > ALPHA:
            return "tie"
        return "win" if self.rate.value > EVEN else "loss"

    @property
    def gap_established(self) -> bool:
        return self.gap is not None and not self.weak and self.comparable == "yes" and self.p_gap_adjusted <= ALPHA

    @property
    def not_ruled_out(self) -> float | None:
        """The largest distance from an even match that the interval holds; None without one."""
        low, high = self.rate.low, self.rate.high
        return None if low is None or high is None else min(EVEN, max(abs(low - EVEN), abs(high - EVEN)))


def win_rates(run: Run, judges: Sequence[Card], level: float = LEVEL) -> list[WinRate]:
    """One for each pairwise cell that was judged, in the order of the records; ``judges``: the run's cards."""
    records = [record for record in run.records() if record.cell.task == TASK and record.status == "ok"]
    if not records:
        return []
    samples = {record.cell.key: run.samples(record.cell.key) for record in records}
    named = labels(record.cell.variant for record in run.records())
    trusted = {(one.judge, one.model, one.prompts, one.language): one for one in judges}
    floors = {_asked_of(record): _floor(record, samples) for record in records if is_again(record)}
    settings = _settings(records, run, named)
    families: dict[tuple[str, ...], list[WinRate]] = {}
    sets: dict[int, str] = {}
    scores: dict[int, dict[str, float]] = {}
    for record in records:
        told = samples[record.cell.key]
        of_questions = {one.group: one.quantities["score"] for one in told if "score" in one.quantities}
        if "win_rate" not in record.estimates or not of_questions:
            continue
        aa = is_aa(record, run)
        found = _measured(record, told, of_questions, aa, named[record.cell.variant.key], *settings[record.cell.key])
        card = trusted.get(_identity(record))
        categories = {one.sample: one.category for one in read_asked(run.folder, record.cell.text)}
        found = replace(
            found,
            card=card,
            floor=None if aa and not found.again else floors.get(_asked_of(record)),
            parts=() if aa else parts(told, categories),
        )
        of_family = (record.cell.variant.key, found.setting, _judge(record), str(aa), str(found.again))
        families.setdefault(of_family, []).append(found)
        scores[id(found)] = of_questions
        other = run.record(record.cell.reference or "")
        sets[id(found)] = str(other.cell.params.get("questions", "")) if other else ""
    judged = []
    for family in families.values():
        judged += _judged([_with_gap(one, family, scores, sets, level) for one in family])
    return judged


def open_win_rates(found: Sequence[WinRate]) -> list[Sentence]:
    """One for each variant, opponent and judge with languages in which nothing was established."""
    families: dict[tuple[str, str, str], list[WinRate]] = {}
    for one in found:
        if not one.aa and one.outcome == "tie":
            families.setdefault((one.variant.key, one.against, one.setting), []).append(one)
    return [win_rates_open(of) for of in families.values()]


def opponent(record: Record, run: Run, named: Mapping[str, str]) -> str:
    """The label of whom a pairwise cell was judged against."""
    other = run.record(record.cell.reference or "")
    return named[other.cell.variant.key] if other else record.notes.get("opponent", "?")


def judge_name(record: Record) -> str:
    return record.notes.get("judge") or str(record.cell.params.get("model") or record.cell.params.get("judge"))


def _measured(
    record: Record,
    samples: Sequence[Sample],
    scores: Mapping[str, float],
    aa: bool,
    label: str,
    against: str,
    setting: str,
) -> WinRate:
    cell = record.cell
    estimates = record.estimates
    turns = {name.split("_")[2] for one in samples for name in one.quantities if name.startswith("game_")}
    return WinRate(
        variant=cell.variant,
        label=label,
        against=against,
        judge=judge_name(record),
        language=cell.language,
        setting=setting,
        aa=aa,
        again=is_again(record),
        rate=estimates["win_rate"],
        conservative=estimates.get("win_rate_conservative"),
        length_controlled=estimates.get("win_rate_length_controlled"),
        gated=estimates.get("win_rate_gated"),
        shares=winrate.shares(np.stack(list(games_of(samples).values()))),
        turns=max(1, len(turns)),
        p=sign_flip([score - EVEN for score in scores.values()]),
        floor=None,
        card=None,
        notes=record.notes,
    )


def _with_gap(
    one: WinRate,
    family: Sequence[WinRate],
    scores: Mapping[int, Mapping[str, float]],
    sets: Mapping[int, str],
    level: float,
) -> WinRate:
    """With its gap over English, paired by question; as it is where English was not judged or shares no question."""
    base = next((other for other in family if other.language == AGAINST), None)
    if base is None or one.language == AGAINST or one.aa:
        return one
    mine, english = scores[id(one)], scores[id(base)]
    shared = [group for group in mine if group in english]
    if not shared:
        return one
    a, b = (np.array([side[group] for group in shared]) for side in (mine, english))
    alike = comparable(one.card, base.card)
    return replace(
        one,
        gap=winrate.interval(winrate.difference(a, b), level),
        p_gap=sign_flip(a - b),
        comparable="no" if base.weak != one.weak else alike,
        parallel=sets[id(one)] == sets[id(base)] and sets[id(one)] in PARALLEL,
    )


def _judged(family: Sequence[WinRate]) -> list[WinRate]:
    """Holm over the languages, and the words."""
    rates = holm([one.p for one in family])
    with_gap = [place for place, one in enumerate(family) if one.gap is not None]
    gaps = dict(zip(with_gap, holm([family[place].p_gap for place in with_gap]), strict=True))
    found = []
    by_part = explored([one.parts for one in family])
    for place, (one, p) in enumerate(zip(family, rates, strict=True)):
        judged = replace(one, p_adjusted=p, p_gap_adjusted=gaps.get(place, 1.0), parts=by_part[place])
        en, ko = win_rate(judged)
        if judged.gap is not None:
            more = win_rate_gap(judged, AGAINST)
            en, ko = f"{en} {more.sentence_en}", f"{ko} {more.sentence_ko}"
        found.append(replace(judged, sentence_en=en, sentence_ko=ko))
    return found


def comparable(one: Card | None, other: Card | None) -> Comparable:
    """``no`` where the intervals of consistency or of A/A ties do not meet; ``unknown`` where one was not measured."""
    if one is None or other is None:
        return "unknown"
    met: list[bool | None] = []
    for a, b in ((one.consistency, other.consistency), (one.aa_ties, other.aa_ties)):
        if a is None or b is None or a.low is None or a.high is None or b.low is None or b.high is None:
            met.append(None)
        else:
            met.append(a.low <= b.high and b.low <= a.high)
    return "no" if False in met else "unknown" if None in met else "yes"


def _floor(record: Record, samples: Mapping[str, Sequence[Sample]]) -> Floor | None:
    told = samples[record.cell.key]
    values = [one.quantities["score"] - EVEN for one in told if "score" in one.quantities]
    kind: Kind = "re-run" if record.notes[AGAIN] == "re-run" else "batch shape"
    return signed_floor("win_rate", record.cell.language, values, kind) if values else None


def _judge(record: Record) -> str:
    return canonical_json(dict(record.cell.params))


def _identity(record: Record) -> tuple[str, str, str, str]:
    cell = record.cell
    judge, model, prompts = (str(cell.params.get(name)) for name in ("judge", "model", "prompts"))
    return judge, model, prompts, cell.language


def _asked_of(record: Record) -> tuple[str, ...]:
    """What the A/A cell shares with the cells whose floor it is."""
    variant = record.cell.variant
    return (_judge(record), record.cell.language, record.cell.text, variant.weights, variant.dtype, variant.device)


def _settings(records: Sequence[Record], run: Run, named: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Cell key -> (opponent's label, what tells its win rate from others: judge or opponent, of several)."""
    judges = dict.fromkeys(map(_judge, records))
    words = {judge: judge_name(next(one for one in records if _judge(one) == judge)) for judge in judges}
    if len(set(words.values())) < len(words):
        words = {judge: f"{word} {place}" for place, (judge, word) in enumerate(words.items(), start=1)}
    met = [one for one in records if not is_aa(one, run)]
    opponents = {opponent(one, run, named) for one in met}
    found = {}
    for record in records:
        other = opponent(record, run, named)
        parts = [words[_judge(record)]] if len(judges) > 1 else []
        parts += [f"× {other}"] if len(opponents) > 1 else []
        found[record.cell.key] = (other, ", ".join(parts))
    return found
