"""Records and samples -> claims: every comparison a page or gate may state, with its uncertainty, verdict and words.

Nothing downstream computes a statistic or makes up a sentence. Two estimands are kept apart: ``changes`` and ``gaps``
speak of one artifact (its calibration draw is fixed), ``method_changes`` and ``method_gaps`` of a method over new
draws, where several draws were made; crossings and comparisons speak of methods where there are draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from results import gap as gaps
from results import notices
from results.advice import Advice, advise
from results.answers import answer_changes
from results.claim import Change, Claims, Gap, NotMeasured
from results.contests import compare_methods, comparison_sentences, find_crossings
from results.equal_bytes import equal_bytes
from results.evidence import Method, Setting, gather
from results.floors import AGAINST
from results.gap import Pair, Unmatched
from results.judged import open_win_rates, win_rates
from results.labels import labels
from results.losses import changes
from results.noise import Floor
from results.record import Record
from results.reliability import cards
from results.sentences import Sentence
from results.statistics import LEVEL
from results.store import Run
from results.verdicts import language_gaps, open_gaps


def make_claims(run: Run, level: float = LEVEL) -> Claims:
    """Every claim of a run. Raises UnreadableRun where samples are damaged."""
    settings, notes = gather(run)
    sizes = _sizes(run.records())
    parts = [_claims_of(setting, level, sizes) for setting in settings]
    answers, answer_floors = answer_changes(run, level)
    judges = cards(run)
    judged = win_rates(run, judges, level)
    return Claims(
        level=level,
        changes=tuple(item for part in parts for item in part.changes),
        gaps=tuple(item for part in parts for item in part.gaps),
        method_changes=tuple(item for part in parts for item in part.method_changes),
        method_gaps=tuple(item for part in parts for item in part.method_gaps),
        crossings=tuple(item for part in parts for item in part.crossings),
        comparisons=tuple(item for part in parts for item in part.comparisons),
        comparison_sentences=tuple(item for part in parts for item in part.comparison_sentences),
        not_measured=tuple(_not_measured(run.records())),
        unmatched=tuple(item for part in parts for item in part.unmatched),
        not_established=(*(item for part in parts for item in part.not_established), *open_win_rates(judged)),
        notes=tuple(
            dict.fromkeys(
                [
                    *_about(run),
                    *notes,
                    *(item for part in parts for item in part.notes),
                    *_answer_noise(answer_floors),
                ]
            )
        ),
        answers=tuple(answers),
        floors=(*(floor for part in parts for floor in part.floors), *answer_floors),
        win_rates=tuple(judged),
        judges=tuple(judges),
        advice=_first_advice(settings, parts),
        equal_bytes=tuple(item for part in parts for item in part.equal_bytes),
    )


def _claims_of(setting: Setting, level: float, sizes: Mapping[str, float]) -> Claims:
    methods = setting.methods()
    is_rolling = setting.protocol == "rolling"
    notes: list[Sentence] = []
    pairs, unmatched = _parallel_pairs(setting, notes) if is_rolling else ({}, ())
    notes += [notices.unmatched(*item) for item in unmatched]
    artifacts = [Method(setting.labels[variant.key], (variant,)) for method in methods for variant in method.draws]
    drawn = [method for method in methods if len(method.draws) > 1]
    lost: list[Change] = [change for one in artifacts for change in changes(setting, one, level)]
    found: list[Gap] = [gap for one in artifacts for gap in language_gaps(setting, one, pairs, level)]
    method_gaps = [gap for method in drawn for gap in language_gaps(setting, method, pairs, level)]
    crossings, tested = find_crossings(setting, methods, pairs, AGAINST, level)
    comparisons = compare_methods(setting, methods, level) if is_rolling else []
    missing = open_gaps([*method_gaps, *found])
    if tested and not crossings:
        missing.append(notices.no_crossing(tested))
    if is_rolling and any((change.log_ratio.clusters or 0) < 10 for change in lost):
        notes.append(notices.FEW_PASSAGES)
    method_changes = [change for method in drawn for change in changes(setting, method, level)]
    notes += _spreads(method_changes)
    notes += _noise(setting)
    weighed = {
        method.label: max(sizes[draw.key] for draw in method.draws)
        for method in methods
        if all(draw.key in sizes for draw in method.draws)
    }
    named = {method.label for method in methods}
    of_methods = [change for change in [*lost, *method_changes] if change.label in named]
    return Claims(
        level=level,
        changes=tuple(lost),
        gaps=tuple(found),
        method_changes=tuple(method_changes),
        method_gaps=tuple(method_gaps),
        crossings=tuple(crossings),
        comparisons=tuple(comparisons),
        comparison_sentences=tuple(comparison_sentences(comparisons)),
        not_measured=(),
        unmatched=unmatched,
        not_established=tuple(missing),
        notes=tuple(notes),
        floors=tuple(setting.floors.values()),
        advice=tuple(advise(of_methods, comparisons, weighed, setting.name)) if is_rolling else (),
        equal_bytes=tuple(equal_bytes(methods, comparisons, weighed, setting.name)),
    )


def _first_advice(settings: Sequence[Setting], parts: Sequence[Claims]) -> tuple[Advice, ...]:
    """That of each model's first setting that gives any: a first screen has no room for more."""
    found: list[Advice] = []
    advised: set[str] = set()
    for setting, part in zip(settings, parts, strict=True):
        weights = {variant.weights for variant in setting.variants.values()}
        if part.advice and not weights & advised:
            found += part.advice
            advised |= weights
    return tuple(found)


def _sizes(records: Iterable[Record]) -> dict[str, float]:
    """Variant key -> total bytes, where they were weighed."""
    return {
        record.cell.variant.key: record.estimates["total_bytes"].value
        for record in records
        if record.cell.task == "footprint" and "total_bytes" in record.estimates
    }


def _spreads(method_changes: Sequence[Change]) -> list[Sentence]:
    """For each method of several draws: how much its losses vary over draws, and over passages."""
    by_label: dict[str, list[Change]] = {}
    for change in method_changes:
        by_label.setdefault(change.label + (f" ({change.setting})" if change.setting else ""), []).append(change)
    said = []
    for label, of in by_label.items():
        spreads = {
            change.language: (change.draw_sd, change.passage_sd)
            for change in of
            if change.draw_sd is not None and change.passage_sd is not None
        }
        if spreads:
            said.append(notices.draws_beside_passages(label, spreads, of[0].unit))
    return said


def _noise(setting: Setting) -> list[Sentence]:
    """What the noise floor is, and where its own readings disagree in one direction."""
    bands = [floor for floor in setting.floors.values() if floor.metric == "extra_bits"]
    said = [notices.noise_floor(bands, setting.name, setting.unit)] if bands else []
    return said + [
        notices.not_centred(floor)
        for floor in setting.floors.values()
        if floor.metric in ("extra_bits", "gap") and not floor.is_centred
    ]


def _answer_noise(floors: Sequence[Floor]) -> list[Sentence]:
    """As `_noise`, of the margins of each task that was answered twice."""
    by_task: dict[str, list[Floor]] = {}
    for floor in floors:
        if floor.metric == "margin":
            by_task.setdefault(floor.setting, []).append(floor)
    said = [notices.answer_noise(of) for of in by_task.values()]
    return said + [notices.not_centred(floor) for of in by_task.values() for floor in of if not floor.is_centred]


def _parallel_pairs(
    setting: Setting, notes: list[Sentence]
) -> tuple[dict[tuple[str, str], Pair], tuple[Unmatched, ...]]:
    """(variant key, language) -> Pair on the passages that all languages and variants share; empty without English."""
    if AGAINST not in setting.none or setting.languages == [AGAINST]:
        notes.append(notices.no_gap(AGAINST, setting.languages))
        return {}, ()
    parallel = [code for code in setting.languages if set(setting.none[code]) & set(setting.none[AGAINST])]
    notes += [notices.not_parallel(code, AGAINST) for code in setting.languages if code not in parallel]
    cells = {f"`none` {code}": setting.none[code] for code in parallel}
    cells |= {f"{setting.labels[key]} {code}": read for (key, code), read in setting.read.items() if code in parallel}
    groups, unmatched = gaps.match(cells)
    if not groups:
        return {}, unmatched
    return {
        (key, code): gaps.pair(code, read, setting.none[code], groups)
        for (key, code), read in setting.read.items()
        if code in parallel
    }, unmatched


def _not_measured(records: Sequence[Record]) -> list[NotMeasured]:
    """Failed and skipped cells, the languages of one variant, task and reason together."""
    named = labels(record.cell.variant for record in records)
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in records:
        if record.status != "ok":
            cause = (record.cell.variant.key, record.cell.task, record.status, record.reason or "")
            found.setdefault(cause, []).append(record)
    said = []
    for (key, task, status, reason), of in found.items():
        languages = tuple(dict.fromkeys(record.cell.language for record in of))
        words = notices.not_measured(named[key], task, languages, status, reason)
        said.append(NotMeasured(of[0].cell.variant, named[key], task, languages, status, reason, *words))
    return said


def _about(run: Run) -> list[Sentence]:
    """What a reader must know of the models and draws behind all statements."""
    variants = {record.cell.variant.key: record.cell.variant for record in run.records()}.values()
    said = []
    if any(variant.model == "bundled:gemma-3-270m" for variant in variants):
        said.append(notices.IS_4_BIT)
    calibrated = [variant for variant in variants if variant.calibration is not None]
    draws = len({variant.draw for variant in calibrated})
    if calibrated:
        said.append(notices.ONE_DRAW if draws == 1 else notices.several_draws(draws))
    return said
