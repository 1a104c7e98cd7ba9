from __future__ import annotations

import json
from dataclasses import replace

import pytest

from results.baseline import Incomplete, first, updated
from results.baseline_file import (
    BaselineError,
    Change,
    SealBroken,
    read_baseline,
    reseal,
    write_baseline,
)
from results.store import Run

CHANGE = Change("2026-11-22T00:00:00+00:00", "me", "because", "c" * 40, 0)


@pytest.fixture
def saved(gate_run, tmp_path):
    """A baseline on disk, and its path."""
    path = tmp_path / "base.lock"
    write_baseline(path, first(Run.open(gate_run()), CHANGE))
    return path


def edit(path, change):
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")


def message(path):
    with pytest.raises(BaselineError) as error:
        read_baseline(path)
    return str(error.value)


def test_what_is_written_is_read_again(gate_run, saved):
    kept = read_baseline(saved)
    made = first(Run.open(gate_run("other")), CHANGE)
    found = {one.cell.key: one for one in kept.cells}
    assert len(found) == len(made.cells) == 21
    for one in made.cells:
        read = found[one.cell.key]
        assert read.cell == one.cell
        assert (read.ids, read.groups, dict(read.columns)) == (one.ids, one.groups, dict(one.columns))
        assert (read.artifact, read.created, read.environment) == (one.artifact, one.created, one.environment)
        assert {k: (e.value, e.low) for k, e in read.estimates.items()} == {
            k: (e.value, e.low) for k, e in one.estimates.items()
        }
    assert kept.changes == (replace(CHANGE, cells=21),)


def test_a_cell_is_one_line_and_a_later_run_changes_only_its_lines(gate_run, saved, tmp_path):
    other = tmp_path / "other.lock"
    write_baseline(other, first(Run.open(gate_run("other", worse={("awq", "ko"): 1.0})), CHANGE))
    before, after = (set(path.read_text().splitlines()) for path in (saved, other))
    changed = [json.loads(line) for line in after - before]
    cells = [line["cell"] for line in changed if "cell" in line]
    assert [(cell["task"], cell["language"]) for cell in cells] == [("perplexity", "ko")]
    assert len(changed) == 2  # and the seal


def test_the_file_is_the_same_whatever_the_order_of_the_run(gate_run, saved, tmp_path):
    found = read_baseline(saved)
    write_baseline(tmp_path / "again.lock", replace(found, cells=tuple(reversed(found.cells))))
    assert (tmp_path / "again.lock").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: lines[:-5], "was cut short: its last line, the seal, is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "line 34: cut short or damaged, no JSON"),
        (lambda lines: [*lines[:9], lines[9][:40], *lines[10:]], "line 10: cut short or damaged, no JSON"),
        (lambda lines: [line.replace("because", "no reason") for line in lines], "line 2: edited by hand"),
        (lambda lines: [line.replace('"total_bytes":[1000.0]', '"total_bytes":[9.0]') for line in lines], "edited by"),
        (lambda lines: ["<<<<<<< HEAD", *lines], "the marks of an unfinished merge in git"),
        (lambda lines: [lines[0].replace("1,", "7,", 1), *lines[1:]], "has baseline schema 7, and this version of"),
        (lambda lines: ["{}", *lines[1:]], "is no baseline: its first line does not say langgap_baseline"),
        (lambda lines: ["hello"], "is no baseline"),
        (lambda lines: [""], "is empty. Save one with: langgap baseline save RUN --out FILE"),
    ],
)
def test_a_damaged_or_edited_file_says_so(saved, change, sentence):
    edit(saved, change)
    assert sentence in message(saved)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    assert "There is no baseline" in message(tmp_path / "nowhere.lock")
    assert "langgap baseline save" in message(tmp_path / "nowhere.lock")


class TestMerging:
    def test_a_lost_line_breaks_the_seal_only(self, saved):
        edit(saved, lambda lines: [line for line in lines if '"language":"ja"' not in line])
        with pytest.raises(SealBroken, match="lines that were added, lost or moved"):
            read_baseline(saved)
        assert len(reseal(saved).cells) == 15
        assert len(read_baseline(saved).cells) == 15

    def test_sealing_refuses_edited_lines_and_leaves_the_file(self, saved):
        edit(saved, lambda lines: [line.replace("because", "no reason") for line in lines])
        before = saved.read_bytes()
        with pytest.raises(BaselineError, match="edited by hand"):
            reseal(saved)
        assert saved.read_bytes() == before

    def test_a_cell_that_stands_twice_is_refused(self, saved, gate_run, tmp_path):
        other = tmp_path / "other.lock"
        write_baseline(other, first(Run.open(gate_run("other", worse={("awq", "ko"): 1.0})), CHANGE))
        both = dict.fromkeys([*saved.read_text().splitlines(), *other.read_text().splitlines()])
        edit(saved, lambda lines: list(both))
        with pytest.raises(BaselineError, match="the same cell stands twice"):
            reseal(saved)

    def test_windows_line_ends_are_no_edit(self, saved):
        saved.write_bytes(saved.read_bytes().replace(b"\n", b"\r\n"))
        assert read_baseline(saved).cells


class TestIncomplete:
    def refusal(self, folder, **options):
        with pytest.raises(Incomplete) as error:
            first(Run.open(folder), CHANGE, **options)
        return str(error.value)

    def test_a_failed_cell(self, gate_run):
        found = self.refusal(gate_run(failed=[("awq", "ko")]))
        assert "awq 4-bit, perplexity, ko: failed, out of memory" in found
        assert "Finish it with the same `langgap sweep`" in found

    def test_a_variant_that_lacks_a_language(self, gate_run):
        folder = gate_run(methods=("none", "rtn"))
        gate_run(methods=("awq",), languages=("en",))
        found = self.refusal(folder)
        assert "awq 4-bit, perplexity, ko: not measured yet" in found

    def test_what_a_sweep_file_has_measured_of_some_is_not_missing_from_others(self, gate_run):
        folder = gate_run(methods=("none", "rtn"))
        gate_run(methods=("awq",), languages=("en",))
        (folder / "sweep-1.toml").write_text('[[task]]\nname = "perplexity"\nonly = ["rtn"]\n')
        assert "zeroshot, ko: not measured yet" in self.refusal(folder)
        assert "perplexity" not in self.refusal(folder)

    def test_a_method_of_the_sweep_file_without_a_cell(self, gate_run):
        folder = gate_run(methods=("none", "rtn"))
        (folder / "sweep-1.toml").write_text('[[method]]\nname = "rtn"\nbits = 4\n[[method]]\nname = "gptq"\n')
        assert "gptq: in the sweep file, not measured yet" in self.refusal(folder)
        (folder / "sweep-1.toml").write_text('[[method]]\nname = "rtn"\nbits = 3\n')
        assert "rtn: in the sweep file, not measured yet" in self.refusal(folder)

    def test_no_none_and_nothing_at_all(self, gate_run, tmp_path):
        assert "it has no `none`" in self.refusal(gate_run(methods=("rtn",)))
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "records.jsonl").touch()
        assert "it has no finished cell" in self.refusal(tmp_path / "empty")

    def test_part_of_a_run_can_be_saved(self, gate_run):
        made = first(Run.open(gate_run(failed=[("awq", "ko")])), CHANGE, method="rtn*")
        assert {one.cell.variant.method for one in made.cells} == {"none", "rtn"}


class TestUpdate:
    def step(self, gate_run, old, name, bits, **options):
        run = Run.open(gate_run(name, worse={("awq", "ko"): bits}, noise=0.0))
        return updated(old, run, replace(CHANGE, why=name), **options)

    def anchors(self, baseline):
        return {(one.cell.variant.method, one.cell.language): one.anchor for one in baseline.cells if one.anchor}

    def test_keeps_what_was_accepted_first_as_the_anchor(self, gate_run, saved):
        start = read_baseline(saved)
        then = next(
            one for one in start.cells if (one.cell.variant.method, one.cell.language) == ("awq", "ko") and one.ids
        )
        second = self.step(gate_run, start, "second", 1.0)
        third = self.step(gate_run, second, "third", 2.0)
        for made in (second, third):
            assert self.anchors(made) == {("awq", "ko"): dict(then.columns)}
        assert self.anchors(self.step(gate_run, third, "back", 0.0)) == {}
        assert self.anchors(self.step(gate_run, third, "fresh", 3.0, new_anchor=True)) == {}

    def test_tells_who_why_and_what(self, gate_run, saved):
        made = self.step(gate_run, read_baseline(saved), "second", 1.0)
        assert [change.why for change in made.changes] == ["because", "second"]
        assert made.changes[1].cells == 21
        (line, *_) = [line for line in made.changes[1].what if "nats_per_token" in line]
        assert line.startswith("awq 4-bit, perplexity, ko: nats_per_token ")
        assert "(+0." in line

    def test_survives_the_disk(self, gate_run, saved):
        made = self.step(gate_run, read_baseline(saved), "second", 1.0)
        write_baseline(saved, made)
        assert self.anchors(read_baseline(saved)) == self.anchors(made)

    def test_other_items_are_anchored_anew(self, gate_run, saved):
        made = updated(read_baseline(saved), Run.open(gate_run("other", text="u")), CHANGE)
        assert self.anchors(made) == {}
        assert "anchored anew: awq 4-bit, perplexity, en" in made.changes[-1].what

    def test_what_went_and_came_is_told(self, gate_run, saved):
        made = updated(read_baseline(saved), Run.open(gate_run("other", methods=("none", "rtn"))), CHANGE)
        assert "dropped: awq 4-bit, perplexity, ko" in made.changes[-1].what
