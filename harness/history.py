"""What earlier sweeps taught: how fast each piece of work went, how large it was, and how widely passages spread.

Kept in the cache for `plan`, the latest measurement of each kind: ``speeds.json`` and ``spreads.json``. Losing them
loses forecasts and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.passages import Passage
from harness.plan import Plan, PlannedVariant, is_second, readings
from harness.tasks import all_tasks
from harness.variant import artifact_folder
from results.cell import Cell, Variant
from results.files import StoreError, replace
from results.labels import method_key
from results.record import Record

if TYPE_CHECKING:
    from results.claim import Claims

SPEEDS, SPREADS = "speeds.json", "spreads.json"
Table = dict[str, dict[str, list[float]]]
"""Whom it holds for -> what -> numbers."""


class Work(NamedTuple):
    """A piece of a variant's work that takes time: how earlier sweeps call it, and how much of it there is."""

    name: str
    amount: float
    """UTF-8 bytes of text for a reading; 1 for anything else."""
    cells: tuple[Cell, ...]
    """The cells it serves: done when they are measured."""
    phases: tuple[str, ...]
    """The phases of `Record.seconds` that it is made of."""


def works(planned: PlannedVariant, sizes: Mapping[str, int]) -> Iterator[Work]:
    """A variant's work, piece by piece; ``sizes`` are bytes of test text by fingerprint."""
    yield Work(f"compress {planned.method.name}", 1, planned.cells, ("compress",))
    yield Work("load", 1, planned.cells, ("load",))
    for cell in planned.cells:
        if not all_tasks()[cell.task].reads_text:
            told = (cell.task, cell.language, cell.text, cell.limit or "all", "again" if is_second(cell) else "")
            what = " ".join(str(part) for part in told if part)
            yield Work(f"measure {what}", 1, (cell,), ("measure",))
    for cells in readings(planned):
        tasks = "+".join(sorted({cell.task for cell in cells}))
        size = float(sizes.get(cells[0].text, 0))
        yield Work(f"read {tasks} {cells[0].language}", size, tuple(cells), ("read", "measure"))


def text_sizes(texts: Mapping[str, tuple[Passage, ...]]) -> dict[str, int]:
    """UTF-8 bytes of each text by its fingerprint."""
    return {name: sum(len(passage.text.encode()) for passage in of) for name, of in texts.items()}


def machine(variant: Variant) -> str:
    """What a speed holds for: base weights, dtype and device class."""
    return f"{variant.weights} {variant.dtype} {variant.device}"


def width(variant: Variant) -> str:
    """``4-bit``; the method's name where it has no ``bits``."""
    bits = variant.params.get("bits")
    return f"{bits}-bit" if bits else variant.method


class Watch:
    """Notes the speeds of a sweep in the cache, a variant at a time."""

    def __init__(self, cache: Path, plan: Plan, sizes: Mapping[str, int], made: Collection[str]) -> None:
        """``made``: keys of the variants whose artifact was in the cache before, so that making it took no time."""
        self._cache, self._sizes, self._made = cache, sizes, made
        self._planned = {planned.variant.key: planned for planned in plan.variants}
        self._records: dict[str, Record] = {}
        self._current: str | None = None

    def saw(self, record: Record) -> None:
        """Take in a record; the speeds of the variant before it are written when a new one begins."""
        if record.cell.variant.key != self._current:
            self.save()
            self._current = record.cell.variant.key
        self._records[record.cell.key] = record

    def save(self) -> None:
        """Write what the current variant taught."""
        planned = self._planned.get(self._current or "")
        if planned and (found := _measured(planned, self._records, self._sizes, self._made)):
            size = folder_bytes(artifact_folder(self._cache, planned))
            sized = {artifact_name(planned.variant): [float(size), 1.0]} if size else {}
            add(self._cache / SPEEDS, {machine(planned.variant): found | sized})
        self._records.clear()


def _measured(
    planned: PlannedVariant, records: Mapping[str, Record], sizes: Mapping[str, int], made: Collection[str]
) -> dict[str, list[float]]:
    """Work name -> [seconds, amount], of the work that was done in full just now."""
    found: dict[str, list[float]] = {}
    for work in works(planned, sizes):
        known = [records[cell.key] for cell in work.cells if cell.key in records]
        phases = [phase for phase in work.phases if any(phase in record.seconds for record in known)]
        is_old = work.phases == ("compress",) and planned.variant.key in made
        if is_old or work.phases[0] not in phases or not work.amount or any(r.status != "ok" for r in known):
            continue
        spent = sum(record.seconds.get(phase, 0.0) for record in known for phase in phases)
        before = found.get(work.name, [0.0, 0.0])  # a language may be read in two corpora
        found[work.name] = [round(before[0] + spent, 3), before[1] + work.amount]
    return found


def spreads_of(claims: Claims) -> Table:
    """Base weights -> ``gap 4-bit ko`` -> [SD over passages, passages, value]; `loss` and `versus` (two methods) too.

    Of several variants of one bit width the widest spread is kept: a forecast should not promise too much.
    """
    found: Table = {}

    def keep(variant: Variant, name: str, sd: float | None, passages: int | None, value: float) -> None:
        if sd and passages and passages > 1:
            of = found.setdefault(variant.weights, {})
            if name not in of or sd > of[name][0]:
                of[name] = [sd, float(passages), value]

    for gap in claims.gaps:
        name = f"gap {width(gap.variant)} {gap.language}"
        keep(gap.variant, name, gap.passage_sd, gap.headline.clusters, gap.headline.value)
    for change in claims.changes:
        if (bits := change.extra_bits_per_sentence) is not None:
            name = f"loss {width(change.variant)} {change.language}"
            keep(change.variant, name, change.passage_sd, bits.clusters, bits.value)
    for one in claims.comparisons:
        estimate = one.difference
        same = width(one.variant_a) == width(one.variant_b)
        if same and one.measure == "bits" and one.draws == 1 and estimate.high is not None and estimate.clusters:
            sd = _sd(estimate.high - estimate.value, estimate.clusters, estimate.level or 0.95)
            keep(one.variant_a, f"versus {width(one.variant_a)} {one.language}", sd, estimate.clusters, estimate.value)
    return found


def _sd(half: float, n: int, level: float) -> float:
    """The SD over clusters behind half a t interval."""
    from scipy import stats

    return float(half / stats.t.ppf(0.5 + level / 2, n - 1) * n**0.5)


def artifact_name(variant: Variant) -> str:
    """What the artifacts of all calibration draws of a variant share: they are equally large."""
    return f"artifact {method_key(variant)}"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def recall(path: Path) -> Table:
    """What a file tells; nothing where it is missing or damaged."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(holder): {str(name): [float(x) for x in numbers] for name, numbers in of.items()}
            for holder, of in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def add(path: Path, found: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Put new numbers over the old ones. A cache that cannot be written costs the forecast, never the sweep."""
    table = recall(path)
    for holder, of in found.items():
        table[holder] = {**table.get(holder, {}), **of}
    try:
        replace(path, json.dumps(table, indent=0, sort_keys=True).encode())
    except StoreError:
        return
