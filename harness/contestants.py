"""Which stored answers meet which: the plan of a judging phase, from a run's records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.problems import UserError, listed, unknown
from harness.specs import JudgingSpec
from results.again import answered_again
from results.cell import Cell, Variant, canonical_json
from results.labels import labels
from results.record import Record

METRIC = {
    "fidelity": ("fidelity", "kld_mean"),
    "perplexity": ("perplexity", "nats_per_token"),
    "bits": ("perplexity", "bits_per_sentence"),
}
"""What ``best`` goes by -> task, estimate: lower is less changed. Of bits it is those that `none` does not need."""


@dataclass(frozen=True)
class Pairing:
    """Two cells of stored answers to the same questions in the same language, told the same way."""

    ours: Cell
    theirs: Cell
    """``ours`` itself in an A/A pairing."""
    opponent: str
    """Its label."""
    lacks: str | None = None
    """Why the opponent's answers are not to be had."""


def pairings(records: Sequence[Record], spec: JudgingSpec) -> list[Pairing]:
    """All pairings of a phase, language by language in the order of the records.

    Raises UserError where there is nothing to judge, a variant is not known, or what ``best`` goes by was not measured.
    """
    answered = [record for record in records if record.cell.task == "answers"]
    ready = [record for record in answered if record.status == "ok"]
    if not ready:
        why = f" ({answered[0].status}: {answered[0].reason})" if answered else ""
        raise UserError(
            f"the run holds no answers to judge{why}. Let models write some with: langgap sweep ... --task answers"
        )
    named = labels(record.cell.variant for record in records)
    chosen = _chosen(ready, records, spec, named)
    by_setting: dict[tuple[str, str], dict[str, Record]] = {}
    for record in answered:
        by_setting.setdefault(_setting(record.cell), {})[record.cell.variant.key] = record
    found: list[Pairing] = []
    for of in by_setting.values():
        mine = [record.cell for key, record in of.items() if key in chosen and record.status == "ok"]
        if spec.duels:
            found += [Pairing(a, b, named[b.variant.key]) for b, a in combinations(mine, 2)]
            continue
        opponent = _opponent(of, spec.against, named)
        if opponent is None:
            if mine:
                raise UserError(_no_opponent(mine[0], spec.against))
            continue
        lacks = None if opponent.status == "ok" else f"no reference: {opponent.status} ({opponent.reason})"
        label = named[opponent.cell.variant.key]
        if spec.aa and lacks is None and mine:
            found.append(Pairing(opponent.cell, opponent.cell, label))
            again = [of[0] for of in answered_again(ready).values() if of[1] == opponent.cell]
            found += [Pairing(opponent.cell, cell, label) for cell in again]
        found += [Pairing(cell, opponent.cell, label, lacks) for cell in mine if cell != opponent.cell]
    if not any(pairing.ours != pairing.theirs for pairing in found):
        words = "two variants with answers are needed" if spec.duels else f"only {spec.against} has answers"
        raise UserError(f"there is nobody to judge: {words}. Add a method to the sweep, or leave out --variant.")
    return found


def find_variant(word: str, named: Mapping[str, str], variants: Iterable[Variant]) -> set[str]:
    """Keys of the variants that a word means: a label, a method, or at least six digits of a key. Raises UserError."""
    known = {variant.key: variant for variant in variants}
    for meant in (
        {key for key in known if named[key] == word},
        {key for key, variant in known.items() if variant.method == word},
        {key for key in known if len(word) >= 6 and key.startswith(word)},
    ):
        if meant:
            return meant
    raise UserError(
        unknown(
            "variant with answers",
            word,
            dict.fromkeys(word for key, it in known.items() for word in (named[key], it.method)),
        )
    )


def _setting(cell: Cell) -> tuple[str, str]:
    """(language, all else that two sides must share)."""
    variant = cell.variant
    shared = [variant.weights, variant.dtype, variant.device, dict(cell.params), cell.text, cell.limit]
    return cell.language, canonical_json([*shared, cell.task_version])


def _chosen(
    ready: Sequence[Record], records: Sequence[Record], spec: JudgingSpec, named: Mapping[str, str]
) -> dict[str, Variant]:
    """Variant key -> variant, of those that are to be judged."""
    everyone = {record.cell.variant.key: record.cell.variant for record in ready}
    if spec.variants:
        meant = {key for word in spec.variants for key in find_variant(word, named, everyone.values())}
        chosen = {key: variant for key, variant in everyone.items() if key in meant}
    else:
        nobody = spec.duels or spec.against == "none"  # `none` is judged by name only
        opponents = set() if nobody else find_variant(spec.against, named, _all_answering(records))
        chosen = {
            key: variant for key, variant in everyone.items() if variant.method != "none" and key not in opponents
        }
    return chosen if spec.best is None else _best(chosen, records, spec, named)


def to_answer(variants: Iterable[Variant], records: Sequence[Record], spec: JudgingSpec) -> set[str]:
    """Keys of the variants that a sweep lets answer for its judge once all else is measured: the best of each model.

    Of several draws of calibration text it is the first, so that none is chosen for its luck. Variants without what
    ``best`` goes by are not among the best.
    """
    task, metric = METRIC[spec.by]
    measured = {
        record.cell.variant.key
        for record in records
        if record.cell.task == task and record.status == "ok" and metric in record.estimates
    }
    first = {v.key: v for v in variants if v.method != "none" and v.draw == 0 and v.key in measured}
    return set(_best(first, records, spec, labels(first.values())))


def _best(
    chosen: Mapping[str, Variant], records: Sequence[Record], spec: JudgingSpec, named: Mapping[str, str]
) -> dict[str, Variant]:
    """The best of each model."""
    kept: set[str] = set()
    for weights in dict.fromkeys(variant.weights for variant in chosen.values()):
        of_model = {key for key, variant in chosen.items() if variant.weights == weights}
        kept |= set(_least_changed(of_model, records, spec, named)[: spec.best])
    return {key: variant for key, variant in chosen.items() if key in kept}


def _all_answering(records: Sequence[Record]) -> list[Variant]:
    return [record.cell.variant for record in records if record.cell.task == "answers"]


def _least_changed(keys: set[str], records: Sequence[Record], spec: JudgingSpec, named: Mapping[str, str]) -> list[str]:
    """Variant keys, best first, by the languages that all of them were measured in.

    By the mean of their metric; by bits, what they need beside `none` in the language where that is most.
    """
    task, metric = METRIC[spec.by]
    originals: dict[str, float] = {}
    values: dict[str, dict[str, float]] = {key: {} for key in keys}
    weights = {record.cell.variant.weights for record in records if record.cell.variant.key in keys}
    for record in records:
        cell = record.cell
        if cell.task != task or record.status != "ok" or metric not in record.estimates:
            continue
        where = canonical_json([cell.language, dict(cell.params), cell.text])
        if cell.variant.key in keys:
            values[cell.variant.key][where] = record.estimates[metric].value
        elif cell.variant.method == "none" and cell.variant.weights in weights:
            originals[where] = record.estimates[metric].value
    if spec.by == "bits":
        values = {
            key: {at: own - originals[at] for at, own in of.items() if at in originals} for key, of in values.items()
        }
    shared = set.intersection(*(set(of) for of in values.values())) if values else set()
    if not shared:
        lacking = [named[key] for key, of in values.items() if not of] or [named[key] for key in values]
        other = next(name for name in METRIC if name != spec.by)
        raise UserError(
            f"the best variants are chosen by {spec.by}, which was not measured for {listed(sorted(lacking))}. "
            f"Measure it, choose by {other} (--by {other}), or name variants with --variant."
        )

    def lost(key: str) -> float:
        found = [values[key][where] for where in sorted(shared)]
        return max(found) if spec.by == "bits" else sum(found)

    return sorted(keys, key=lambda key: (lost(key), named[key]))


def _opponent(of: Mapping[str, Record], against: str, named: Mapping[str, str]) -> Record | None:
    """The opponent's record among those of one setting; the first draw's where the word means several."""
    variants = [record.cell.variant for record in of.values()]
    try:
        meant = find_variant(against, named, variants)
    except UserError:
        return None
    return of[min(meant, key=lambda key: (of[key].cell.variant.draw, list(of).index(key)))]


def _no_opponent(cell: Cell, against: str) -> str:
    return (
        f"there are no answers of '{against}' in {cell.language} to the questions that {cell.variant.label} answered, "
        "so there is nobody to judge it against. Run the sweep with it, or name another opponent with --against."
    )
