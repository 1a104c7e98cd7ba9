"""Several runs beside each other: what differs in what made them, and what their numbers differ by, item by item.

The first run is the one that all others are set beside. Two cells are compared where they are of one model and were
measured in one way on texts of one digest; then the difference is paired by item, with its error by passage as in a
gate (`comparison_damage`). What is not compared is told with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from results.comparison_cells import Couple, Measured, Place, couples, from_run
from results.comparison_damage import NotComparable, Scale, Term, damage
from results.estimate import Estimate
from results.folds import FOLDS
from results.multiplicity import holm
from results.statistics import ALPHA, LEVEL
from results.store import Run

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "footprint": ("total_bytes",),
    "perplexity": ("bits_per_sentence", "nats_per_token"),
    "fidelity": ("kld_mean",),
    "zeroshot": ("accuracy",),
    "pairwise": ("win_rate",),
}
"""The one metric of each task that is compared: the first that both cells have. Tasks without one are not compared."""


class TooLittle(ValueError):
    """The runs cannot be set beside each other: one sentence with what to do."""


@dataclass(frozen=True)
class Across:
    """How one cell's headline metric in a later run differs from that in the first."""

    run: str
    place: Place
    metric: str
    value: float
    first: float
    """The metric in the first run; both over the items that the two share."""
    difference: Estimate
    """Later less first; without bounds for a number that has no items, such as a size."""
    items: int
    p: float = 1.0
    p_adjusted: float = 1.0
    """Holm over all that this run has beside the first."""

    @property
    def verdict(self) -> str:
        """``same`` (no item differs), ``established``, ``not established``; ``differs`` for a plain number."""
        if self.difference.low is None:
            return "same" if self.difference.value == 0 else "differs"
        if self.difference.value == self.difference.low == self.difference.high == 0:
            return "same"
        return "established" if self.p_adjusted <= ALPHA else "not established"


@dataclass(frozen=True)
class Apart:
    """A cell that could not be compared, and why: ``missing``, ``extra``, ``status``, ``model``, ``task``, ``texts``
    or ``items``; ``detail`` says what stands on either side."""

    run: str
    place: Place
    why: str
    detail: str = ""


@dataclass(frozen=True)
class Fact:
    """One thing known of what made a run, and what it is in each; an empty word where a run does not have it."""

    kind: str
    """``model``, ``machine``, ``library``, ``code``, ``text``, ``calibration`` or ``date``."""
    name: str
    said: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.said)) > 1


@dataclass(frozen=True)
class Beside:
    names: tuple[str, ...]
    facts: tuple[Fact, ...]
    compared: tuple[Across, ...]
    apart: tuple[Apart, ...]


def beside(runs: Mapping[str, Run], level: float = LEVEL) -> Beside:
    """``runs``: name -> run, the first being the one that the others are compared with. Raises TooLittle."""
    cells = {name: from_run(run) for name, run in runs.items()}
    for name, of in cells.items():
        if not any(one.status == "ok" for one in of):
            raise TooLittle(
                f"{runs[name].folder} has no finished cell, so there is nothing to set beside the other runs. "
                "Finish it with `langgap sweep`, or leave it out."
            )
    ours, *_ = cells.values()
    compared: list[Across] = []
    apart: list[Apart] = []
    for name, theirs in list(cells.items())[1:]:
        found, left = _compare(name, couples(ours, theirs), level)
        compared += found
        apart += left
    return Beside(tuple(cells), tuple(facts(runs, cells)), tuple(compared), tuple(apart))


def _compare(run: str, found: Iterable[Couple], level: float) -> tuple[list[Across], list[Apart]]:
    compared, apart = [], []
    for couple in found:
        metrics = HEADLINES.get(couple.place.task)
        if metrics is None:
            continue
        if reason := _obstacle(couple):
            apart.append(Apart(run, couple.place, *reason))
            continue
        try:
            compared.append(_difference(run, couple, metrics, level))
        except NotComparable as error:
            apart.append(Apart(run, couple.place, "items", str(error)))
    # A number without items (df is None) tells no probability and is no member of the family.
    tested = [one for one in compared if one.difference.df is not None]
    adjusted = dict(zip(map(id, tested), holm([one.p for one in tested]), strict=True))
    return [replace(one, p_adjusted=adjusted.get(id(one), 1.0)) for one in compared], apart


def _obstacle(couple: Couple) -> tuple[str, str] | None:
    """Why a couple is not compared: a kind and what stands on either side."""
    old, new = couple.expected, couple.found
    if new is None:
        return "missing", ""
    if old is None:
        return "extra", ""
    for one in (old, new):
        if one.status != "ok":
            return "status", f"{one.status}: {one.reason}"
    a, b = old.cell, new.cell
    if a.variant.weights != b.variant.weights:
        return "model", f"{a.variant.model} {a.variant.weights[:8]} · {b.variant.model} {b.variant.weights[:8]}"
    if (a.params, a.task_version) != (b.params, b.task_version):
        return "task", _params(old, new)
    if a.text != b.text and a.language != "und":  # sizes and speeds read nothing
        return "texts", f"{a.text[:8]} · {b.text[:8]}"
    return None


def _params(old: Measured, new: Measured) -> str:
    """The parameters in which two cells differ, the version of the task included."""
    sides = [{"version": one.cell.task_version, **one.cell.params} for one in (old, new)]
    names = [name for name in {**sides[0], **sides[1]} if sides[0].get(name) != sides[1].get(name)]
    return " · ".join(", ".join(f"{name}={of.get(name)}" for name in names) for of in sides)


def _difference(run: str, couple: Couple, metrics: Sequence[str], level: float) -> Across:
    old, new = couple.expected, couple.found
    assert old is not None
    assert new is not None  # `_obstacle` has looked
    metric = next((name for name in metrics if name in old.estimates and name in new.estimates), None)
    if metric is None:
        raise NotComparable(f"no {' or '.join(metrics)} on both sides")
    if metric not in FOLDS:
        now, then = new.estimates[metric].value, old.estimates[metric].value
        return Across(run, couple.place, metric, now, then, Estimate(now - then), 0)
    windows = new.cell.params.get("protocol") == "gptq"
    found = damage([[Term(1.0, new.side, old.side)]], Scale(FOLDS[metric], 1.0, False), windows)
    contrast = found.contrast
    items = contrast.n or 0
    return Across(
        run, couple.place, metric, found.value, found.reference, contrast.interval(level), items, contrast.p()
    )


def facts(runs: Mapping[str, Run], cells: Mapping[str, Sequence[Measured]]) -> list[Fact]:
    """What made each run: models, machines, libraries, code, texts, calibration and dates."""
    told = [_facts(runs[name], [one for one in of if one.status == "ok"]) for name, of in cells.items()]
    keys = dict.fromkeys(key for of in told for key in of)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return [
        Fact(kind, name, tuple(" / ".join(of.get((kind, name), {})) for of in told))
        for kind, name in sorted(keys, key=lambda key: order[key[0]])
    ]


KINDS = ("model", "date", "machine", "library", "code", "calibration", "text")


def _facts(run: Run, cells: Sequence[Measured]) -> dict[tuple[str, str], dict[str, None]]:
    """(kind, name) -> what is said of it in a run, each once, in order."""
    found: dict[tuple[str, str], dict[str, None]] = {}

    def say(kind: str, name: str, value: object) -> None:
        if value is not None:
            found.setdefault((kind, name), {})[str(value)] = None

    dates = sorted(one.created for one in cells if one.created)
    if dates:
        say("date", "measured", " – ".join(dict.fromkeys((dates[0][:10], dates[-1][:10]))))
    environments = {id(one.environment): one.environment for one in cells if one.environment is not None}
    for environment in environments.values():
        for name in ("python", "platform", "cpu", "cores", "accelerator"):
            say("machine", name, getattr(environment, name))
        for name, count in environment.threads.items():
            say("machine", f"threads {name}", count)
        for name, version in environment.libraries.items():
            say("library", name, version)
        dirty = " (dirty)" if environment.dirty else ""
        say("code", "commit", environment.commit and environment.commit[:12] + dirty)
    for one in cells:
        cell, variant = one.cell, one.cell.variant
        say("model", "model", variant.model)
        say("model", "weights", variant.weights[:8])
        for name in ("revision", "dtype", "device"):
            say("model", name, getattr(variant, name))
        say("code", f"method {variant.method}", variant.code)
        say("code", f"task {cell.task}", cell.task_version)
        if variant.calibration is not None:
            say("calibration", variant.method, f"{variant.calibration_label} ({variant.calibration[:8]})")
        if cell.language != "und":
            limit = "" if cell.limit is None else f", limit {cell.limit}"
            say("text", f"{cell.task} {cell.language}", cell.text[:8] + limit)
    for path in run.configs():
        say("code", "sweep file", path.stem.removeprefix("sweep-")[:8])
    return found
