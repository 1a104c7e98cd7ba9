"""Opening a large run, and making its report's tables: seconds of CPU and wall clock, and most memory.

    python benchmarks/store.py [--records 100000] [--page]

The run is made up: variants of one method in eight languages, with sizes, perplexities and fidelities, and no samples,
which a table does not read. ``--page`` also draws the whole page of it, which is no measure: nobody reads ten thousand
variants. Wanted: open in 3 seconds, tables in 60.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from results.cell import Cell, Variant
from results.estimate import Estimate
from results.record import Record
from results.store import Run

LANGUAGES = ("en", "ko", "ja", "zh", "fr", "es", "vi", "id")
Found = TypeVar("Found")


def records(count: int) -> Iterator[Record]:
    """Seventeen records a variant: a size, and perplexity and fidelity in each language."""
    params = {"corpus": "bundled", "protocol": "rolling"}
    for number in range(-(-count // 17)):
        method, chosen = ("none", {}) if number == 0 else ("rtn", {"bits": 4, "granularity": f"group:{number}"})
        variant = Variant("bench", "f" * 32, method, chosen)
        size = {name: Estimate(1e6 + number) for name in ("total_bytes", "code_bytes", "rest_bytes", "file_bytes")}
        yield Record(Cell(variant, "footprint", 1, "und", "none"), "ok", size, artifact="a" * 32)
        for language in LANGUAGES:
            near = Estimate(3.0 + number / count, 2.9, 3.1, 0.95, "jackknife", 15.0, 16, 2000)
            read = dict.fromkeys(("perplexity", "nats_per_token", "bits_per_sentence", "bits_per_byte"), near)
            cell = Cell(variant, "perplexity", 1, language, f"text {language}", params)
            yield Record(cell, "ok", read, artifact="a" * 32, seconds={"load": 1.0, "read": 2.0})
            moved = dict.fromkeys(("kld_mean", "kld_median", "kld_p99", "top1_agreement"), near)
            cell = Cell(variant, "fidelity", 1, language, f"text {language}", params, reference="r" * 32)
            yield Record(cell, "ok", moved, artifact="a" * 32, seconds={"read": 1.0})


def write(folder: Path, count: int) -> int:
    """All at once, since writing is not what is timed; the size in bytes."""
    folder.mkdir()
    with (folder / "records.jsonl").open("w", encoding="utf-8") as file:
        for _, record in zip(range(count), records(count), strict=False):
            file.write(json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
    return (folder / "records.jsonl").stat().st_size


def timed(what: str, make: Callable[[], Found]) -> tuple[Found, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = make()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{what:<34} {cpu:7.2f} s CPU {wall:8.2f} s wall   most memory {most:,.0f} MB", flush=True)
    return found, cpu


def tables(run: Run) -> int:
    """Every table of a page that is made of records alone; the number of rows."""
    from reports import tables as made
    from results.labels import labels

    found = run.records()
    named = labels(record.cell.variant for record in found)
    frames = [
        made.task_table(found, named, "perplexity", made.PERPLEXITY),
        made.task_table(found, named, "fidelity", made.FIDELITY),
        made.footprints(found, named),
        made.measurements(found, named),
        made.variants(found, named),
        made.texts(found),
        made.seconds(found, named),
        made.notes(found, named),
        made.failures(found, named),
    ]
    return sum(map(len, frames))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        size, _ = timed("made", lambda: write(folder, options.records))
        print(f"{options.records:,} records, {size / 1e6:.0f} MB")
        run, opening = timed("opened (wanted: 3)", lambda: Run.open(folder))
        _, reading = timed("records", run.records)
        _, making = timed("tables from records (wanted: 60)", lambda: tables(run))
        if options.page:
            from reports.html import write_report

            timed("the whole page", lambda: write_report(folder))
    return 0 if opening <= 3 and reading + making <= 60 else 1


if __name__ == "__main__":
    sys.exit(main())
