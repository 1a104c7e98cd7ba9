"""A sweep file (TOML) -> SweepConfig, strictly: all mistakes are told at once, before anything heavy is imported."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import methods
from harness import tasks, toml
from harness.judgelist import judging_of
from harness.languages import is_code, suggestion
from harness.plan import calibration_of
from harness.problems import UserError, listed, nearest, together, unknown
from harness.specs import CalibrationSpec, MethodSpec, RaySpec, SweepConfig, TaskSpec
from harness.table import Table, fits, wanted
from results.cell import Scalar

__all__ = [
    "CalibrationSpec",
    "MethodSpec",
    "SweepConfig",
    "TaskSpec",
    "construct",
    "default_config",
    "load_config",
    "parse_config",
    "to_toml",
]

if TYPE_CHECKING:
    from methods.base import Compressor

DTYPES = ("auto", "float32", "bfloat16", "float16")
EXECUTORS = ("local", "ray")
_DATA = Path(__file__).parent / "data"


def load_config(path: Path | str) -> SweepConfig:
    """Read a sweep file. Raises UserError for a file that is missing or no TOML, and for all mistakes in it."""
    path = Path(path)
    return parse_config(read_toml(path), str(path), default_name=path.stem)


def default_config(quick: bool = False) -> SweepConfig:
    """The sweep that runs when no file is named; ``quick``: the one that ends within three minutes."""
    return load_config(default_file(quick))


def default_file(quick: bool = False) -> Path:
    return _DATA / ("quick.toml" if quick else "default.toml")


def to_toml(config: SweepConfig) -> str:
    """The configuration with everything spelled out, as TOML: equal configurations give equal bytes."""
    return toml.dumps(config.to_mapping())


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        beside = (p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else ()
        hint = nearest(path.name, beside) or " The examples/ folder has sweep files to start from."
        raise UserError(f"There is no sweep file '{path}'.{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The sweep file '{path}' cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The sweep file '{path}' is not valid TOML: {error}.") from None


def parse_config(mapping: Mapping[str, Any], where: str, default_name: str = "sweep") -> SweepConfig:
    """A sweep file's content -> SweepConfig. ``where`` names the file in messages.

    Raises UserError telling every unknown key, method, parameter, task and language, every value of the wrong type,
    every empty list and every language that a corpus lacks.
    """
    problems: list[str] = []
    top = Table(mapping, "", problems)
    languages = _languages(top)
    calibration = _calibration(Table(top.table("calibration"), "[calibration]", problems), CalibrationSpec())
    config = SweepConfig(
        name=_name(top, default_name),
        models=top.names("models", ("bundled:gemma-3-270m",)),
        languages=languages,
        methods=_methods(top, calibration, problems),
        tasks=_tasks(top, problems),
        calibration=calibration,
        seed=top.integer("seed", 0, least=0) or 0,
        draws=top.integer("draws", 1, least=1) or 1,
        limit=top.integer("limit", None, least=1),
        overlap=top.choice("overlap", "report", ("report", "refuse")),
        out=top.text("out", None),
        dtype=top.choice("dtype", "auto", DTYPES),
        device=_device(top),
        executor=top.choice("executor", "local", EXECUTORS),
        ray=_ray(top, problems),
        judging=judging_of(top),
    )
    top.refuse_the_rest()
    problems += _corpus_problems(config) + _firing_problems(config) + _items_problems(config)
    problems += _questions_problems(config)
    if problems:
        raise together(where, problems)
    return config


def construct(spec: MethodSpec) -> Compressor:
    """The method itself, which checks its values. This imports torch. Raises UserError with the method's sentence."""
    try:
        return methods.load(spec.name)(**spec.params)
    except ValueError as error:
        raise UserError(f"{spec.name}: {error}") from None


def _name(top: Table, default: str) -> str:
    name = top.text("name", default) or default
    if "/" in name or "\\" in name or name in (".", ".."):
        top.problem(f"name is '{name}', but it becomes a folder's name and so holds no slash; use `out` for a path.")
    return name


def _device(top: Table) -> str:
    device = top.text("device", "auto") or "auto"
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        top.problem(f"device is '{device}', but must be auto, cpu, cuda or cuda:N.{nearest(device, ('cpu', 'cuda'))}")
    return device


def _languages(top: Table) -> tuple[str, ...]:
    languages = top.names("languages", ("en", "ko", "ja", "zh", "fr", "es", "vi", "id"))
    for code in languages:
        if not is_code(code):
            top.problem(f"languages: {not_a_code(code)}")
    return languages


def not_a_code(text: str) -> str:
    return (
        f"'{text}' is no language code.{suggestion(text)} Codes are BCP-47, such as ko, th or zh-Hant; "
        "`langgap languages` lists those of the bundled texts."
    )


def _calibration(table: Table, base: CalibrationSpec) -> CalibrationSpec:
    """A [calibration] table, or a method's own one over ``base``."""
    weights = table.take("languages")
    if isinstance(weights, list):
        weights = dict.fromkeys(weights, 1.0) if all(isinstance(code, str) for code in weights) else None
        if not weights:
            table.problem("languages is a list that is empty or holds more than codes; write { en = 0.5, ko = 0.5 }.")
    elif weights is not None and not isinstance(weights, Mapping):
        table.problem(f"languages is {weights!r}, but must be codes with weights, such as {{ en = 0.5, ko = 0.5 }}.")
        weights = None
    spec = CalibrationSpec(
        corpus=table.text("corpus", base.corpus) or base.corpus,
        sequences=table.integer("sequences", base.sequences, least=1) or base.sequences,
        length=table.integer("length", base.length, least=2) or base.length,
        languages=base.languages if weights is None else _weights(table, weights),
    )
    table.refuse_the_rest()
    return spec


def _ray(top: Table, problems: list[str]) -> RaySpec | None:
    if "ray" not in top.value:
        return None
    table = Table(top.table("ray"), "[ray]", problems)
    spec = RaySpec(
        address=table.text("address", None),
        cpus=table.integer("cpus", None, least=1),
        gpus=table.number("gpus", least=0.0),
        memory_gb=table.number("memory_gb", least=0.1),
        minutes=table.number("minutes", least=0.001),
    )
    table.refuse_the_rest()
    return spec


def _weights(table: Table, weights: Mapping[str, Any]) -> dict[str, float]:
    for code, weight in weights.items():
        if not is_code(code):
            table.problem(f"languages: {not_a_code(code)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            table.problem(f"languages: the weight of {code} is {weight!r}, but must be a number, 0 or more.")
            return {}
    if not sum(weights.values()):
        table.problem("languages: at least one weight must be more than 0.")
        return {}
    return {code: float(weight) for code, weight in weights.items()}


def _methods(top: Table, calibration: CalibrationSpec, problems: list[str]) -> tuple[MethodSpec, ...]:
    tables = top.tables("method")
    if not tables:
        top.problem("it names no method: add a [[method]] table, or --method; `langgap methods` lists them.")
    specs: list[MethodSpec] = []
    for number, value in enumerate(tables, start=1):
        table = Table(value, f"[[method]] {number}", problems)
        name = table.text("name", None)
        if name is None:
            table.problem(f"it has no name. Known methods: {', '.join(methods.names())}.")
        elif name not in methods.names():
            table.problem(unknown("method", name, methods.names()))
        else:
            specs += _variants(table, name, calibration)
    _refuse_twins(top, "method", [replace(spec, label=None) for spec in specs])
    return tuple(specs)


def _refuse_twins(top: Table, kind: str, specs: Sequence[MethodSpec | TaskSpec]) -> None:
    for index, spec in enumerate(specs):
        if specs.index(spec) < index:
            params = ", ".join(f"{key}={value}" for key, value in spec.params.items()) or "no parameters"
            top.problem(f"the {kind} {spec.name} with {params} is asked for twice; leave one.")


def _variants(table: Table, name: str, calibration: CalibrationSpec) -> list[MethodSpec]:
    """One [[method]] table -> a MethodSpec for every point of its grid, the last list varying fastest."""
    table.where += f" ({name})"
    own = table.take("calibration")
    if own is not None and not isinstance(own, Mapping):
        table.problem(f"calibration is {own!r}, but must be a table, such as {{ languages = {{ ko = 1 }} }}.")
        own = None
    if own is not None and not methods.needs(name):
        table.problem(f"{name} reads no calibration text, so it cannot have a calibration of its own.")
    spec = _calibration(Table(own, f"{table.where} calibration", table.problems), calibration) if own else None
    label = table.text("label", None)
    axes: dict[str, list[Scalar]] = {}
    for key, parameter in methods.fields(name).items():
        given = table.take(key)
        values = given if isinstance(given, list) else [parameter.default if given is None else given]
        if not values:
            table.problem(f"{key} is an empty list; a list is a grid of values to try.")
        for value in values:
            if not (given is None or fits(value, parameter.type)):
                table.problem(f"{key} is {value!r}, but must be {wanted(parameter.type)}.")
        axes[key] = [float(v) if "float" in parameter.type and type(v) is int else v for v in values]
    table.refuse_the_rest(("name", "calibration", "label", *axes), "parameter")
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    if label is not None and len(points) > 1:
        table.problem(f"the label '{label}' would name {len(points)} variants; give it to one.")
    return [MethodSpec(name, params, spec, label) for params in points]


def _tasks(top: Table, problems: list[str]) -> tuple[TaskSpec, ...]:
    known = tasks.all_tasks()
    unasked = [
        {"name": name} for name, task in known.items() if not (task.needs_model or task.runs_model or task.later)
    ]
    tables = top.tables("task") if "task" in top.value else unasked
    specs = []
    for number, value in enumerate(tables, start=1):
        table = Table(value, f"[[task]] {number}", problems)
        name = table.text("name", None)
        if name not in known:
            table.problem(unknown("task", name, known) if name else f"it has no name. Known: {', '.join(known)}.")
            continue
        table.where += f" ({name})"
        if known[name].later:
            table.problem("it judges stored answers: write a [judge] table, or run `langgap judge RUN` afterwards.")
            continue
        only = _only(table, top)
        params: dict[str, Scalar] = {}
        for key, (default, *_) in known[name].fields.items():
            given = table.take(key)
            kind = "int | None" if default is None else type(default).__name__
            if isinstance(default, str) and isinstance(given, list) and all(isinstance(name, str) for name in given):
                given = ",".join(given)
            if key == "questions" and isinstance(given, Mapping) and given:
                given = ",".join(f"{code}={name}" for code, name in given.items())
            if given is not None and not fits(given, kind):
                table.problem(f"{key} is {given!r}, but must be {wanted(kind)}.")
            params[key] = default if given is None else given
        table.refuse_the_rest(("name", "only", *params), "parameter")
        if known[name].runs_model:
            for mistake in known[name].load().mistakes(params):
                table.problem(mistake)
        specs.append(TaskSpec(name, params, only))
    if not tables:
        top.problem(f"it names no task: add a [[task]] table, or --task. Known: {', '.join(known)}.")
    _refuse_twins(top, "task", specs)
    return tuple(specs)


def _only(table: Table, top: Table) -> tuple[str, ...] | None:
    """The methods that a task is measured of, if it names any: some of the sweep's."""
    if "only" not in table.value:
        return None
    here = list(dict.fromkeys(str(method.get("name")) for method in top.tables("method")))
    only = table.names("only", ())
    for name in only:
        if name not in here:
            table.problem(
                f"only names '{name}', which is no method of this sweep.{nearest(name, here)} It has {listed(here)}."
            )
    return only


def _corpus_problems(config: SweepConfig) -> list[str]:
    """What the corpora say, without loading them: an unknown name, a missing file, a language they lack."""
    from harness.corpora import check_corpus

    asked: dict[str, dict[str, None]] = {}
    for task in config.tasks:
        if "corpus" in task.params:
            asked.setdefault(str(task.params["corpus"]), {}).update(dict.fromkeys(config.languages))
    for spec in (calibration_of(config, method) for method in config.methods):
        if spec is not None:
            asked.setdefault(spec.corpus, {}).update(dict.fromkeys((*(spec.languages or ()), *(spec.firing or ()))))
    checked = {name: [code for code in codes if is_code(code)] for name, codes in asked.items()}
    return [problem for name, codes in checked.items() for problem in check_corpus(name, codes)]


def _items_problems(config: SweepConfig) -> list[str]:
    """What lm-eval's and the user's task files say: an unknown name, a damaged file, a language they lack."""
    from harness.items import check

    known = tasks.all_tasks()
    asked = [task.params for task in config.tasks if known[task.name].asks_items]
    return [
        problem
        for params in asked
        for problem in check(str(params["tasks"]), str(params["include_path"]), config.languages)
    ]


def _questions_problems(config: SweepConfig) -> list[str]:
    """What the open questions say: an unknown set, a damaged file, a language they lack; and their parameters."""
    from harness.questions import check

    known = tasks.all_tasks()
    asked = [task.params for task in config.tasks if known[task.name].asks_questions]
    return [problem for params in asked for problem in check(params, config.languages)]


def _firing_problems(config: SweepConfig) -> list[str]:
    """Methods that compare languages by their neurons, where there is nothing to compare."""
    counting = [method.name for method in config.methods if "firing" in methods.needs(method.name)]
    if len(config.languages) > 1 or not counting:
        return []
    return [
        f"languages: {counting[0]} chooses neurons by comparing languages, so the sweep needs two of them at least, "
        f"not only {listed(config.languages)}."
    ]
