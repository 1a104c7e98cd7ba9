"""A sweep file (TOML) -> SweepConfig, strictly: all mistakes are told at once, before anything heavy is imported."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import methods
from harness import tasks, toml
from harness.judgelist import judging_of
from harness.languages import is_code, not_a_code
from harness.methodlist import methods_of, read_calibration
from harness.plan import calibration_of
from harness.problems import UserError, listed, nearest, together
from harness.specs import JUDGED, CalibrationSpec, MethodSpec, RaySpec, SweepConfig, TaskSpec
from harness.table import Table
from harness.tasklist import tasks_of

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
    calibration = read_calibration(Table(top.table("calibration"), "[calibration]", problems), CalibrationSpec())
    config = SweepConfig(
        name=_name(top, default_name),
        models=top.names("models", ("bundled:gemma-3-270m",)),
        languages=languages,
        methods=methods_of(top, calibration, problems),
        tasks=tasks_of(top, problems),
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
    problems += _questions_problems(config) + _judged_problems(config)
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


def _judged_problems(config: SweepConfig) -> list[str]:
    """What choosing the variants that answer lacks: how many, whom they meet, and what they are chosen by."""
    from harness.contestants import METRIC

    chosen = [task.name for task in config.tasks if task.only == JUDGED]
    judging = config.judging
    if not chosen:
        return []
    if others := [name for name in chosen if name != "answers"]:
        return [f"only = '{JUDGED}' is for answers, not for {listed(others)}."]
    if judging is None or judging.best is None or judging.variants or judging.against != "none":
        return [
            f"answers: only = '{JUDGED}' needs a [judge] table that says by `best` how many variants meet `none`, and "
            "has no `variants` and no `against`."
        ]
    wanted, _ = METRIC[judging.by]
    if all(task.name != wanted for task in config.tasks):
        return [f"[judge]: the best go by {judging.by}, and {wanted} is not measured; add a [[task]] named {wanted}."]
    return []


def _firing_problems(config: SweepConfig) -> list[str]:
    """Methods that compare languages by their neurons, where there is nothing to compare."""
    counting = [method.name for method in config.methods if "firing" in methods.needs(method.name)]
    if len(config.languages) > 1 or not counting:
        return []
    return [
        f"languages: {counting[0]} chooses neurons by comparing languages, so the sweep needs two of them at least, "
        f"not only {listed(config.languages)}."
    ]
