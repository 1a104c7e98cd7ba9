"""The section on speed: measured beside counted, and why something was not timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reports.gathered import gather
from reports.page import page
from reports.words import Words
from results.cell import Cell
from results.claims import make_claims
from results.estimate import Estimate
from results.record import Record
from results.store import Run

PARAMS = {"batch": 1, "prompt": 128, "new_tokens": 32, "repetitions": 7}
REASON = "there is no kernel here that computes with 14 affine"


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_speeds_stand_beside_what_was_counted(tmp_path: Path, build: Callable[..., Path], lang: str) -> None:
    with Run.open(build(tmp_path), write=True) as run:
        whole, packed, *_ = (record.cell.variant for record in run.records() if record.cell.task == "footprint")
        counted = {"flops_per_token": Estimate(2.5e8), "bytes_per_token": Estimate(4e8)}
        timed = {
            "prefill_tokens_per_second": Estimate(250.0, 240.0, 262.0, 0.984, "exact", n=7),
            "decode_tokens_per_second": Estimate(12.5, 12.0, 12.9, 0.984, "exact", n=7),
            "peak_memory": Estimate(2.5e9),
        }
        cells = [Cell(variant, "speed", 1, "und", "", PARAMS) for variant in (whole, packed)]
        run.append(Record(cells[0], "ok", {**counted, **timed, "projection_flops": Estimate(1e8)}))
        untimed = {**counted, "projection_flops": Estimate(5.3e7)}
        run.append(Record(cells[1], "ok", untimed, notes={"not_timed": f"skipped: {REASON}"}))
        found = gather(run, make_claims(run), Words(lang))
        (section,) = [each for each in page(found, Words(lang)).sections if each.id == "speed"]
    first, second = ([text for text, _ in row] for row in section.tables[0].table.rows())
    assert first[1:] == [
        "batch 1, prompt 128, new_tokens 32",
        "250 [240, 262]",
        "12.50 [12.00, 12.90]",
        "2,500",
        "250.0",
        "1.00×",
        "400",
    ]
    missing = Words(lang)["not measured"]
    assert second[2:] == [missing, missing, missing, "250.0", "0.53×", "400"]
    (sentence,) = section.sentences
    assert REASON in sentence.text
    assert "skipped" not in sentence.text


def test_a_run_without_the_task_has_no_such_section(run_folder: Path) -> None:
    run = Run.open(run_folder)
    found = gather(run, make_claims(run), Words("en"))
    assert "speed" not in {section.id for section in page(found, Words("en")).sections}
