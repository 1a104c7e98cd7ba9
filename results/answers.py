"""Right and wrong answers under each variant beside `none`: flips, changes of accuracy and margin, and their gap.

Paired by item; items of one passage (alignment ids ``passage#question``) are one cluster. Holm over the languages of
one variant and task. What `none` cannot answer above chance is not measurable, and said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from results.again import AGAIN, asks_again
from results.answer_sentences import answer_change, answer_gap
from results.cell import Variant, canonical_json
from results.estimate import Estimate, Sample
from results.flips import Flips, flips
from results.floors import AGAINST, answer_floors
from results.items import Scores, Tested, above_chance, change, gap, kept_share, mcnemar, passage, scores
from results.labels import labels
from results.multiplicity import holm
from results.noise import Floor
from results.record import Record
from results.statistics import ALPHA, LEVEL
from results.store import Run


@dataclass(frozen=True)
class AnswerChange:
    """What one variant's answers to one task in one language are beside those of `none`."""

    variant: Variant
    label: str
    task: str
    language: str
    accuracy_none: float
    accuracy: float
    change: Estimate
    """Of the accuracy, a share."""
    flips: Flips
    p: float
    """McNemar's; sign flips by passage where items share passages."""
    margin: Estimate | None
    """Change of the mean margin, nats; None where items have no choices."""
    p_margin: float
    at_chance: bool
    """`none` is not above chance: nothing that could be lost."""
    kept: float | None
    """The share kept of the accuracy above chance; None at chance, or where chance is not known."""
    gap: Estimate | None = None
    """Change of accuracy less that of English, on the items both have; None where items are not parallel."""
    p_gap: float = 1.0
    margin_gap: Estimate | None = None
    p_margin_gap: float = 1.0
    p_adjusted: float = 1.0
    p_margin_adjusted: float = 1.0
    p_gap_adjusted: float = 1.0
    p_margin_gap_adjusted: float = 1.0
    """Each Holm over the languages of the variant and task."""
    floors: Mapping[str, Floor] = field(default_factory=dict)
    """Metric -> noise floor, where `none` answered twice; see `floors.answer_floors`."""
    sentence_en: str = ""
    sentence_ko: str = ""

    def noise(self, metric: str) -> Floor | None:
        """The floor of ``accuracy``, ``margin`` or the gap of either, if this change lies inside it."""
        found = {
            "accuracy": self.change,
            "margin": self.margin,
            "accuracy_gap": self.gap,
            "margin_gap": self.margin_gap,
        }
        floor, change = self.floors.get(metric), found[metric]
        return floor if floor is not None and change is not None and floor.holds(change.value) else None


def answer_changes(run: Run, level: float = LEVEL) -> tuple[list[AnswerChange], list[Floor]]:
    """One for each variant, task and language whose items `none` answered too, in the order of the records.

    And the noise floors of all that `none` answered twice.
    """
    every = [record for record in run.records() if record.status == "ok" and record.cell.task == "zeroshot"]
    records = [record for record in every if not asks_again(record.cell)]
    named = labels(record.cell.variant for record in run.records())
    samples = {record.cell.key: run.samples(record.cell.key) for record in every}
    floors = _floors(every, samples)
    none = {_asked(record): samples[record.cell.key] for record in records if record.cell.variant.method == "none"}
    families: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.cell.variant.method != "none" and _asked(record) in none:
            families.setdefault((record.cell.variant.key, _task(record)), []).append(record)
    found = []
    for of in families.values():
        both = {r.cell.language: (samples[r.cell.key], none[_asked(r)]) for r in of}
        measured = [
            _measure(record, named[record.cell.variant.key], both, floors.get(_setting(record), {}), level)
            for record in of
            if {sample.id for sample in both[record.cell.language][0]}
            & {sample.id for sample in both[record.cell.language][1]}
        ]
        found += _judge(measured)
    return found, [floor for of in floors.values() for floor in of.values()]


def _floors(
    records: Sequence[Record], samples: Mapping[str, Sequence[Sample]]
) -> dict[tuple[str, ...], dict[tuple[str, str], Floor]]:
    """How items were asked -> the floors of what `none` answered twice."""
    first = {record.cell.key: record for record in records}
    twice: dict[tuple[str, ...], list[tuple[Record, Record]]] = {}
    for record in records:
        if asks_again(record.cell) and (one := first.get(record.cell.reference or "")):
            twice.setdefault(_setting(one), []).append((one, record))
    return {
        setting: answer_floors(
            {one.cell.language: samples[one.cell.key] for one, _ in pairs},
            {again.cell.language: samples[again.cell.key] for _, again in pairs},
            _called(str(pairs[0][0].cell.params.get("tasks", "zeroshot"))),
            "re-run" if pairs[0][1].notes.get(AGAIN) == "re-run" else "batch shape",
        )
        for setting, pairs in twice.items()
    }


def _task(record: Record) -> str:
    return canonical_json([dict(record.cell.params), record.cell.limit, record.cell.task_version])


def _asked(record: Record) -> tuple[str, ...]:
    """What a cell of `none` and that of a variant share: task, items, language, and how the model computes."""
    return (*_setting(record), record.cell.text, record.cell.language)


def _setting(record: Record) -> tuple[str, ...]:
    """What the cells of all languages share."""
    variant = record.cell.variant
    return (_task(record), variant.weights, variant.dtype, variant.device)


Sides = tuple[Sequence[Sample], Sequence[Sample]]
"""The variant's samples and those of `none`."""


def _measure(
    record: Record,
    label: str,
    both: Mapping[str, Sides],
    floors: Mapping[tuple[str, str], Floor],
    level: float,
) -> AnswerChange:
    language = record.cell.language
    variant, none = both[language]
    flipped = flips(none, variant)
    items = {sample.group for sample in variant} & {sample.group for sample in none}
    clusters = {group: passage(group) for group in items}
    accuracy = change(scores(variant, "correct"), scores(none, "correct"), clusters)
    shares_passages = len(set(clusters.values())) < len(items)
    answered = [sample for sample in none if sample.group in items]
    right = {name: _mean(scores(side, "correct"), items) for name, side in (("none", none), ("variant", variant))}
    chance = _chance(answered)
    at_chance = chance is not None and (
        above_chance(
            [sample.quantities["correct"] for sample in answered],
            chance,
            [clusters[sample.group] for sample in answered] if shares_passages else None,
        )
        > ALPHA
    )
    margin = _margins(variant, none, clusters)
    gaps = _gaps(both, language, clusters)
    return AnswerChange(
        variant=record.cell.variant,
        label=label,
        task=_called(str(record.cell.params.get("tasks", record.cell.task))),
        language=language,
        accuracy_none=right["none"],
        accuracy=right["variant"],
        change=accuracy.contrast.interval(level),
        flips=flipped,
        p=accuracy.p if shares_passages else mcnemar(flipped.gained, flipped.lost),
        margin=margin.contrast.interval(level) if margin else None,
        p_margin=margin.contrast.p() if margin else 1.0,
        at_chance=at_chance,
        kept=None if at_chance or chance is None else kept_share(right["variant"], right["none"], chance),
        gap=gaps["correct"].contrast.interval(level) if "correct" in gaps else None,
        p_gap=gaps["correct"].p if "correct" in gaps else 1.0,
        margin_gap=gaps["margin"].contrast.interval(level) if "margin" in gaps else None,
        p_margin_gap=gaps["margin"].contrast.p() if "margin" in gaps else 1.0,
        floors={metric: floor for (metric, code), floor in floors.items() if code == language},
    )


def _judge(measured: list[AnswerChange]) -> list[AnswerChange]:
    """Holm over the languages, and the words."""
    adjusted = zip(
        holm([one.p for one in measured]),
        holm([one.p_margin for one in measured]),
        holm([one.p_gap for one in measured]),
        holm([one.p_margin_gap for one in measured]),
        strict=True,
    )
    found = []
    for one, (p, p_margin, p_gap, p_margin_gap) in zip(measured, adjusted, strict=True):
        judged = replace(
            one,
            p_adjusted=p,
            p_margin_adjusted=p_margin,
            p_gap_adjusted=p_gap,
            p_margin_gap_adjusted=p_margin_gap,
        )
        said = answer_change(judged)
        if judged.gap is not None:
            more = answer_gap(judged, AGAINST)
            said = type(said)(f"{said.sentence_en} {more.sentence_en}", f"{said.sentence_ko} {more.sentence_ko}")
        found.append(replace(judged, sentence_en=said.sentence_en, sentence_ko=said.sentence_ko))
    return found


def _called(family: str) -> str:
    """A task's name for readers, who see its language beside it.

    >>> _called("kobest_boolq"), _called("langgap_items_{language}")
    ('kobest_boolq', 'langgap_items')
    """
    return family.replace("{language}", "").replace("__", "_").strip("_")


def _mean(scores: Scores, items: set[str]) -> float:
    return sum(scores[item] for item in items) / len(items)


def _chance(samples: Sequence[Sample]) -> float | None:
    """The accuracy of guessing; None for items without choices."""
    choices = [sample.quantities.get("choices") for sample in samples]
    known = [1 / count for count in choices if count]
    return sum(known) / len(known) if known and len(known) == len(choices) else None


def _margins(variant: Sequence[Sample], none: Sequence[Sample], clusters: Mapping[str, str]) -> Tested | None:
    q, o = scores(variant, "margin"), scores(none, "margin")
    return change(q, o, clusters) if q.keys() & o.keys() else None


def _gaps(both: Mapping[str, Sides], language: str, clusters: Mapping[str, str]) -> dict[str, Tested]:
    """``correct`` and ``margin``: changes less English's, on the items that all four have; none if there are none."""
    if language == AGAINST or AGAINST not in both:
        return {}
    found = {}
    for name in ("correct", "margin"):
        q, o, q_against, o_against = (scores(side, name) for code in (language, AGAINST) for side in both[code])
        if q.keys() & o.keys() & q_against.keys() & o_against.keys():
            found[name] = gap(q, o, q_against, o_against, clusters)
    return found
