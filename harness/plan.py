"""SweepConfig -> Plan: which variants, which cells, in which order. Pure: what has to be looked at comes as Facts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import methods
from harness.questions import question_set, unasked
from harness.specs import JUDGED, CalibrationSpec, JudgingSpec, MethodSpec, SweepConfig, TaskSpec
from harness.tasks import Task, all_tasks
from results.cell import Cell, Variant

NO_LANGUAGE = "und"
"""BCP-47's 'undetermined': the language of a cell that reads no text, such as footprint's."""
MOST_AGAIN = 100
"""Passages or items that `none` reads or answers twice, at most: one at a time takes twice as long as in batches."""

TextKey = tuple[str, bool, str]


def text_key(task: TaskSpec, language: str) -> TextKey:
    """Which text a task reads: corpus, whether it is held to be parallel, language."""
    return str(task.params["corpus"]), bool(task.params.get("parallel")), language


ItemsKey = tuple[str, str, str]


def items_key(task: TaskSpec, language: str) -> ItemsKey:
    """Which items a task asks: names of lm-eval tasks, the user's folder of them, language."""
    return str(task.params["tasks"]), str(task.params["include_path"]), language


QuestionsKey = tuple[str, str, int | None]


def questions_key(config: SweepConfig, task: TaskSpec, language: str) -> QuestionsKey | None:
    """Which questions a task asks: set, language, at most how many. None: nothing in this language."""
    name = question_set(str(task.params["questions"]), language)
    return None if name is None else (name, language, _limit(config, task))


def _limit(config: SweepConfig, task: TaskSpec) -> int | None:
    """The task's own limit, or the sweep's."""
    return config.limit if task.params["limit"] is None else int(task.params["limit"])


@dataclass(frozen=True)
class QuestionFacts:
    """The questions of one set in one language."""

    fingerprint: str
    count: int


@dataclass(frozen=True)
class ItemFacts:
    """One lm-eval task in one language."""

    family: str
    """Its name without the language."""
    fingerprint: str


@dataclass(frozen=True)
class ModelFacts:
    weights: str
    """Digest of tensors, config and tokenizer."""
    dtype: str
    """The dtype it will compute in."""
    device: str
    """Device class, ``cpu`` or ``cuda``."""
    revision: str | None = None


@dataclass(frozen=True)
class CalibrationFacts:
    fingerprint: str
    label: str


@dataclass(frozen=True)
class Facts:
    """What a plan has to know about the world; ``harness.facts.look`` finds it out."""

    models: Mapping[str, ModelFacts]
    texts: Mapping[TextKey, str]
    """`text_key` -> fingerprint of the test passages after the sweep's limit."""
    calibrations: Mapping[tuple[str, str, int], CalibrationFacts]
    """(model, CalibrationSpec.key, draw) -> the tokens drawn."""
    items: Mapping[ItemsKey, tuple[ItemFacts, ...]] = field(default_factory=dict)
    """`items_key` -> the lm-eval tasks meant; none where they have no such language."""
    questions: Mapping[QuestionsKey, QuestionFacts] = field(default_factory=dict)
    """`questions_key` -> the questions asked."""


@dataclass(frozen=True)
class PlannedVariant:
    variant: Variant
    method: MethodSpec
    calibration: CalibrationSpec | None
    """None for a method that reads no calibration text."""
    draw: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Plan:
    variants: tuple[PlannedVariant, ...]
    notes: tuple[str, ...] = ()
    """What was added or left out, and why: one sentence each."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for variant in self.variants for cell in variant.cells)


def readings(planned: PlannedVariant) -> list[list[Cell]]:
    """A variant's cells that read text, by the forward pass that serves them.

    Fidelity of `none` to itself takes a second reading, after all first ones.
    """
    first: dict[tuple[object, ...], list[Cell]] = {}
    second: dict[tuple[object, ...], list[Cell]] = {}
    known = all_tasks()
    for cell in planned.cells:
        if known[cell.task].reads_text:
            key = (cell.language, cell.text, *(cell.params.get(name) for name in ("corpus", "protocol", "window")))
            (second if is_second(cell) else first).setdefault(key, []).append(cell)
    return [*first.values(), *second.values()]


def is_second(cell: Cell) -> bool:
    """Whether a cell compares `none` with itself."""
    return cell.reference is not None and cell.variant.method == "none"


def count_again(count: int) -> int:
    """How many of so many passages or items `none` reads or answers again, for the noise floor: the first half."""
    return min(MOST_AGAIN, -(-count // 2))


def make_plan(config: SweepConfig, facts: Facts, judged: Collection[str] = ()) -> Plan:
    """Every cell of the sweep by variant: per model `none` first, then each draw's methods in the file's order.

    Methods that read no calibration text have draw 0 only. Where more is done than weighing, `none` is added if it was
    left out, for every change is measured against it. ``judged``: keys of the variants that were chosen to be judged.
    """
    compares = any(not all_tasks()[task.name].weighs for task in config.tasks)
    added = compares and all(method.name != "none" for method in config.methods)
    chosen = (*((none_spec(),) if added else ()), *config.methods)
    originals = [method for method in chosen if method.name == "none"]
    others = [method for method in chosen if method.name != "none"]
    variants: list[PlannedVariant] = []
    for model in config.models:
        originals_here = [_planned(config, facts, model, method, 0, None, judged) for method in originals]
        original = originals_here[0].variant if originals_here else None
        variants += originals_here
        drawn = _drawn(config, others)
        variants += [_planned(config, facts, model, method, draw, original, judged) for method, draw in drawn]
    notes = ("`none`, the original, was added: every change is measured against it.",) if added else ()
    asking = [task for task in config.tasks if all_tasks()[task.name].asks_questions]
    silent = (unasked(str(task.params["questions"]), config.languages) for task in asking)
    later = [_later(config.judging)] if config.judging and any(task.only == JUDGED for task in asking) else []
    return Plan(tuple(_unique(variants)), (*notes, *(sentence for sentence in silent if sentence), *later))


def _later(judging: JudgingSpec) -> str:
    best = f"the {judging.best} best variants" if judging.best != 1 else "the best variant"
    return f"`answers` are written by `none`, and by {best} of each model by {judging.by} once all else is measured."


def none_spec() -> MethodSpec:
    return MethodSpec("none", {name: field.default for name, field in methods.fields("none").items()})


def calibration_of(config: SweepConfig, method: MethodSpec) -> CalibrationSpec | None:
    """The calibration a method gets, its languages decided; None where it reads none."""
    needs = methods.needs(method.name)
    if not needs:
        return None
    spec = method.calibration or config.calibration
    counted_in = config.languages if "firing" in needs else None
    return replace(spec, languages=spec.weights(config.languages), firing=counted_in)


def _drawn(config: SweepConfig, chosen: list[MethodSpec]) -> Iterator[tuple[MethodSpec, int]]:
    """Each draw with the methods that have it: the first draw of all comes before the second of any."""
    for draw in range(config.draws):
        for method in chosen:
            if draw == 0 or methods.needs(method.name):
                yield method, draw


def _planned(
    config: SweepConfig,
    facts: Facts,
    model: str,
    method: MethodSpec,
    draw: int,
    original: Variant | None,
    judged: Collection[str],
) -> PlannedVariant:
    """One variant with its cells; ``original`` is the model's `none`, and None for `none` itself."""
    calibration = calibration_of(config, method)
    drawn = facts.calibrations[model, calibration.key, draw] if calibration else None
    here = facts.models[model]
    variant = Variant(
        model=model,
        weights=here.weights,
        method=method.name,
        params=method.params,
        code=methods.code(method.name),
        calibration=drawn.fingerprint if drawn else None,
        calibration_label=drawn.label if drawn else None,
        draw=draw,
        seed=config.seed,
        dtype=here.dtype,
        device=here.device,
        revision=here.revision,
    )
    cells = tuple(_cells(config, facts, variant, original, variant.key in judged))
    return PlannedVariant(variant, method, calibration, draw, cells)


def _cells(
    config: SweepConfig, facts: Facts, variant: Variant, original: Variant | None, is_judged: bool
) -> Iterator[Cell]:
    """A variant's cells: what is weighed or timed first, then language by language, so that one reading serves several.

    What asks the model questions of its own comes last, one cell for each lm-eval task or set and language.
    """
    known = all_tasks()
    specs = [spec for spec in config.tasks if spec.concerns(variant.method, is_judged)]
    for spec in specs:
        task = known[spec.name]
        if task.weighs or task.runs_model:
            yield Cell(variant, task.name, task.version, NO_LANGUAGE, text="", params=spec.params)
    for language in config.languages:
        for spec in specs:
            task = known[spec.name]
            if task.reads_text:
                yield _text_cell(config, facts, variant, task, spec, language, original or variant)
    for language in config.languages:
        for spec in specs:
            if known[spec.name].asks_items:
                yield from _item_cells(config, facts, variant, known[spec.name], spec, language)
            if known[spec.name].asks_questions and (key := questions_key(config, spec, language)):
                task, found = known[spec.name], facts.questions[key]
                params = {**spec.params, "questions": key[0], "limit": None}
                cell = Cell(variant, task.name, task.version, language, found.fingerprint, params, found.count)
                yield cell
                if variant.method == "none" and config.judging and config.judging.again:
                    yield replace(cell, params={**params, "seed": int(params["seed"] or 0) + 1})


def _item_cells(
    config: SweepConfig, facts: Facts, variant: Variant, task: Task, spec: TaskSpec, language: str
) -> Iterator[Cell]:
    """One cell for each lm-eval task in this language, named by what is equal in all languages.

    `none` answers the first half of the items again, which gives the noise floor of all the others.
    """
    limit = _limit(config, spec)
    half = MOST_AGAIN if limit is None else count_again(limit)
    for items in facts.items[items_key(spec, language)]:
        params = {**spec.params, "tasks": items.family, "limit": None}
        cell = Cell(variant, task.name, task.version, language, items.fingerprint, params, limit)
        yield cell
        if variant.method == "none":
            yield replace(cell, limit=half, reference=cell.key)


def _text_cell(
    config: SweepConfig,
    facts: Facts,
    variant: Variant,
    task: Task,
    spec: TaskSpec,
    language: str,
    original: Variant,
) -> Cell:
    """A cell that reads one language's text; fidelity's names the reading of `none` it is measured against.

    `none` too has its fidelity: to itself, read in other batches, which is the noise floor of all the others.
    """
    text = facts.texts[text_key(spec, language)]
    cell = Cell(variant, task.name, task.version, language, text, spec.params, config.limit)
    if task.name != "fidelity":
        return cell
    perplexity = all_tasks()["perplexity"]
    shared = {name: value for name, value in spec.params.items() if name in perplexity.fields}
    reading = replace(cell, variant=original, task=perplexity.name, task_version=perplexity.version, params=shared)
    return replace(cell, reference=reading.key)


def _unique(variants: list[PlannedVariant]) -> Iterator[PlannedVariant]:
    """Each variant once: two calibrations may come out as the same tokens, two model names as the same weights."""
    seen = set()
    for planned in variants:
        if planned.variant.key not in seen:
            seen.add(planned.variant.key)
            yield planned
