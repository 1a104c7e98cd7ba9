from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from results.cell import Cell, Variant
from results.comparison import gathered, mismatches, staleness
from results.comparison_cells import Measured, couples, from_run
from results.store import Run

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def told(old, new):
    """(severity, kind) of everything that differs in perplexity cells of a compressed variant in Korean."""
    found = [
        (couple, one)
        for couple in couples(old, new)
        if (couple.place.method, couple.place.task, couple.place.language) == ("rtn", "perplexity", "ko")
        for one in mismatches(couple)
    ]
    return {(one.severity, one.kind): one.sentence for one, _ in gathered(found)}


def test_a_run_beside_itself_differs_in_nothing(gate_cells):
    assert told(gate_cells(), gate_cells()) == {}


@pytest.mark.parametrize(
    ("changes", "expected", "sentence"),
    [
        ({"weights": "e" * 32}, ("fatal", "model"), "another model: 'tiny' (ffffffff) in the baseline"),
        ({"text": "u"}, ("fatal", "items"), "another item set: 16 of the run's 16 items are not in the baseline"),
        ({"notes": {"prompts": "b"}}, ("fatal", "prompt"), "the prompts: 'a' in the baseline, 'b' in the run"),
        ({"libraries": {"torch": "2.14.0", "numpy": "2.4.0"}}, ("warning", "engine"), "torch: '2.13.0' in the"),
        ({"libraries": {"torch": "2.13.0", "numpy": "2.5.0"}}, ("info", "engine"), "numpy: '2.4.0' in the baseline"),
        ({"variant": {"dtype": "bfloat16"}}, ("warning", "precision"), "'float32' in the baseline, 'bfloat16' in the"),
        ({"variant": {"device": "cuda"}}, ("warning", "device"), "the device class: 'cpu' in the baseline"),
        ({"variant": {"code": 2}}, ("info", "code"), "our version of rtn: 1 in the baseline, 2 in the run"),
    ],
)
def test_each_class_of_mismatch(gate_cells, changes, expected, sentence):
    prompts = {"notes": {"prompts": "a"}} if "notes" in changes else {}
    found = told(gate_cells(**prompts), gate_cells(**changes))
    assert set(found) == {expected}
    assert sentence in found[expected]


def test_a_judge_is_a_fatal_mismatch(gate_cells):
    """As every parameter of a task is; of duels it is called so."""
    cells = [one for one in gate_cells() if one.cell.task == "perplexity"]
    judged = [
        [replace(one, cell=replace(one.cell, task="pairwise", params={"judge": judge})) for one in cells]
        for judge in ("a", "b")
    ]
    (found,) = {one.sentence for couple in couples(*judged) for one in mismatches(couple)}
    assert found == "judge parameter judge: 'a' in the baseline, 'b' in the run"


def test_a_subset_of_the_items_is_no_other_item_set(gate_cells):
    assert told(gate_cells(), gate_cells(passages=2)) == {}


def test_cells_find_each_other_among_models_and_protocols(gate_cells):
    ours = [*gate_cells(weights="a" * 32), *gate_cells(weights="b" * 32, variant={"code": 3})]
    for couple in couples(ours, list(reversed(ours))):
        assert couple.expected is not None
        assert couple.found is not None
        assert couple.expected.cell == couple.found.cell


def test_what_one_side_lacks_stands_alone(gate_cells):
    found = couples(gate_cells(methods=("none", "rtn")), gate_cells(methods=("none", "awq")))
    assert {couple.place.variant for couple in found if couple.found is None} == {"rtn 4-bit"}
    assert {couple.place.variant for couple in found if couple.expected is None} == {"awq 4-bit"}


def test_samples_are_rounded_as_a_baseline_keeps_them(gate_run):
    cells = from_run(Run.open(gate_run()))
    values = [value for one in cells for column in one.columns.values() for value in column]
    assert values
    assert all(value == float(f"{value:.10g}") for value in values)


def test_staleness(gate_cells):
    cells = gate_cells()
    assert staleness(cells, 30, NOW) == []
    (old,) = staleness(cells, 7, NOW)
    assert "cells of the baseline are older than 7 days (the oldest: 21)" in old
    assert staleness(cells, None, NOW) == []
    gone, soon = (
        staleness([replace(cells[0], notes={"judge_shutdown": date})], None, NOW)
        for date in ("2026-10-23", "2026-12-01")
    )
    assert gone == ["the judge of the baseline was to be shut down on 2026-10-23: its win rates cannot be repeated"]
    assert soon == ["the judge of the baseline is to be shut down on 2026-12-01: judge again with another soon"]
    environment = replace(cells[0].environment, dirty=True)
    assert "uncommitted changes" in staleness([replace(cells[0], environment=environment)], None, NOW)[0]


def test_calibration_mixes_keep_their_names_and_their_cells_whatever_was_drawn():
    """Each mix was calibrated anew, so that no fingerprint of before tells which is which."""

    def cells(drawn):
        made = [
            Variant("m", "w", "gptq", {"bits": 4}, calibration=f"{drawn}{mix}", calibration_label=f"bundled {mix}")
            for mix in ("en:1", "en:1 ko:1")
        ]
        return [Measured(Cell(variant, "perplexity", 1, "ko", "t"), "ok") for variant in made]

    found = couples(cells("a"), reversed(cells("b")))
    told = {c.place.variant: {s.cell.variant.calibration_label for s in (c.expected, c.found)} for c in found}
    assert told == {
        "gptq 4-bit, calibrated on en:1": {"bundled en:1"},
        "gptq 4-bit, calibrated on en:1 ko:1": {"bundled en:1 ko:1"},
    }
