"""One variant's life, where a whole sweep would hide what is going on."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from harness import readings, variant
from harness.executors import local
from harness.facts import look
from harness.passes import Job
from harness.plan import MOST_AGAIN, count_again, make_plan
from harness.problems import UserError
from harness.variant import NoReference, artifact_folder, reason, run_variant
from methods.base import Compressed, MissingLibrary, UnsupportedModel, silent
from methods.rtn import Rtn


@pytest.fixture
def jobs(tiny_sweep):
    """``jobs(**config)`` -> the jobs of none and of each other variant, with everything left to do."""

    def make(**changes):
        config = tiny_sweep.config(**{"limit": 1, **changes})
        cache = tiny_sweep.path / "cache"
        world = look(config, cache)
        plan = make_plan(config, world.facts)
        original = plan.variants[0]
        source = world.models[original.variant.model].source
        return [Job(config, planned, planned.cells, original, source, cache) for planned in plan.variants]

    return make


def outcomes(job):
    return {(it.record.cell.task, it.record.cell.language): it for it in run_variant(job, silent)}


@pytest.fixture
def reads(monkeypatch):
    """(language, whether a reference was given, whether hidden states were kept) of every reading."""
    read, seen = readings.read, []

    def note(lm, passages, protocol, reference, keep, progress, **batches):
        seen.append((passages[0].language, reference is not None, keep is not None))
        return read(lm, passages, protocol, reference, keep, progress, **batches)

    monkeypatch.setattr(readings, "read", note)
    return seen


def test_one_reading_serves_perplexity_and_fidelity(jobs, reads):
    none, rtn = jobs()
    outcomes(none)
    again = [("en", True, False), ("ko", True, False)]
    assert reads == [("en", False, True), ("ko", False, True), *again]
    reads.clear()
    found = outcomes(rtn)
    assert len(found) == 5
    assert {it.record.status for it in found.values()} == {"ok"}
    assert reads == again


def test_none_is_compared_with_itself_read_in_other_batches(jobs):
    none, _ = jobs(limit=3)
    found = outcomes(none)
    floor = found["fidelity", "ko"].record.estimates["kld_mean"].value
    assert abs(floor) < 1e-6
    first, second = (found[task, "ko"].samples for task in ("perplexity", "fidelity"))
    assert [sample.id for sample in second] == [sample.id for sample in first][:2]


@pytest.mark.parametrize(("count", "again"), [(1, 1), (5, 3), (16, 8), (1000, MOST_AGAIN)])
def test_the_first_half_is_read_again(count, again):
    assert count_again(count) == again


def test_hidden_states_are_kept_only_where_something_is_compared_with_them(jobs, reads, tiny_sweep):
    none, _ = jobs(task=[{"name": "perplexity"}])
    outcomes(none)
    assert {kept for _, _, kept in reads} == {False}
    assert not (tiny_sweep.path / "cache" / "hidden").exists()


def test_texts_under_two_protocols_are_read_apart(jobs, reads):
    tasks = [{"name": "perplexity"}, {"name": "perplexity", "window": 64}]
    none, _ = jobs(task=tasks, languages=["en"])
    found = list(run_variant(none, silent))
    assert len(reads) == len(found) == 2
    assert found[0].record.notes["protocol"] != found[1].record.notes["protocol"]


@pytest.mark.parametrize("task", ["perplexity", "fidelity"])
def test_what_is_left_of_a_reading_comes_out_as_in_one_go(jobs, task):
    """Nats differ in rounding between a reading with and without a reference, so the cells done decide too."""
    none, rtn = jobs()
    outcomes(none)
    whole = outcomes(rtn)
    left = tuple(cell for cell in rtn.cells if cell.task == task)
    for key, outcome in outcomes(replace(rtn, cells=left)).items():
        assert key[0] == task
        assert outcome.samples == whole[key].samples
        assert outcome.record.estimates == whole[key].record.estimates


def test_a_reference_that_is_gone_is_read_again_once(jobs, reads):
    _, rtn = jobs()
    found = outcomes(rtn)
    assert {it.record.status for it in found.values()} == {"ok"}
    assert reads == [("en", False, True), ("ko", False, True), ("en", True, False), ("ko", True, False)]
    assert found["footprint", "und"].record.seconds["reference"] > 0


def test_a_reference_that_cannot_be_read_again_costs_its_own_fidelity_alone(jobs, monkeypatch):
    _, rtn = jobs()
    read = readings.read

    def fail(lm, passages, protocol, reference, keep, progress):
        if keep and passages[0].language == "ko":
            raise ValueError("too long")
        return read(lm, passages, protocol, reference, keep, progress)

    monkeypatch.setattr(readings, "read", fail)
    found = outcomes(rtn)
    lost = found.pop(("fidelity", "ko")).record
    assert (lost.status, lost.reason) == ("failed", "no reference: `none` could not be read again (too long)")
    assert {it.record.status for it in found.values()} == {"ok"}


def test_an_original_that_cannot_be_loaded_costs_fidelity_alone(jobs, monkeypatch):
    _, rtn = jobs()
    monkeypatch.setattr("methods.none.Uncompressed.compress", lambda *_: (_ for _ in ()).throw(MemoryError("9 GB")))
    found = outcomes(rtn)
    for (task, _), outcome in found.items():
        assert outcome.record.status == ("failed" if task == "fidelity" else "ok")
    assert found["fidelity", "en"].record.reason.endswith("could not be read again (out of memory: 9 GB)")


def test_a_tokenizer_that_begins_a_text_wrongly_fails_all_before_anything_is_made(jobs, monkeypatch):
    none, _ = jobs()

    def wrong(source):
        raise UserError("the tokenizer begins a text without BOS")

    monkeypatch.setattr("harness.models.check_bos", wrong)
    found = outcomes(none)
    assert {it.record.reason for it in found.values()} == {"the tokenizer begins a text without BOS"}
    assert not artifact_folder(none.cache, none.planned).exists()


def test_a_task_that_fails_costs_its_own_cell(jobs, monkeypatch):
    none, rtn = jobs()
    outcomes(none)

    def fail(reading):
        raise ArithmeticError("no sum")

    monkeypatch.setattr("harness.fidelity.measure", fail)
    found = outcomes(rtn)
    for (task, _), outcome in found.items():
        assert outcome.record.status == ("failed" if task == "fidelity" else "ok")
    assert found["fidelity", "ko"].record.reason == "ArithmeticError: no sum"
    assert found["fidelity", "ko"].record.artifact == found["perplexity", "ko"].record.artifact


def test_an_artifact_is_made_once_and_loaded_from_disk(jobs, monkeypatch):
    _, rtn = jobs()
    first = outcomes(rtn)
    folder = artifact_folder(rtn.cache, rtn.planned)
    assert (folder / "manifest.json").is_file()
    monkeypatch.setattr(Rtn, "compress", lambda *_: pytest.fail("it is there"))
    second = outcomes(rtn)
    assert {key: it.samples for key, it in first.items()} == {key: it.samples for key, it in second.items()}


def test_an_artifact_that_stays_damaged_fails_after_one_more_try(jobs, monkeypatch):
    from methods.artifact import DamagedArtifact

    none, _ = jobs()
    tries = []

    def damaged(*arguments):
        tries.append(arguments)
        raise DamagedArtifact("block 3 is damaged")

    monkeypatch.setattr("methods.artifact.load", damaged)
    found = outcomes(none)
    assert {(it.record.status, it.record.reason) for it in found.values()} == {("failed", "block 3 is damaged")}
    assert len(tries) == 2


def test_seconds_are_told_once_by_phase(jobs):
    none, _ = jobs()
    found = [it.record.seconds for it in run_variant(none, silent)]
    assert set(found[0]) == {"reference", "compress", "load", "measure"}
    assert [set(seconds) for seconds in found[1:]] == [{"read", "measure"}] * 4


def test_jobs_are_taken_one_by_one_so_that_a_later_one_can_depend_on_records(monkeypatch):
    happened = []

    def jobs():
        for name in "ab":
            happened.append(f"job {name}")
            yield name

    def two(job, progress):
        yield from (f"{job}1", f"{job}2")

    monkeypatch.setattr(local, "run_variant", two)
    for outcome in local.outcomes(jobs(), silent):
        happened.append(outcome)
    assert happened == ["job a", "a1", "a2", "job b", "b1", "b2"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("the group\n  is odd"), "the group is odd"),
        (UnsupportedModel("no mamba"), "no mamba"),
        (NoReference("no reference: x"), "no reference: x"),
        (MissingLibrary("Install it with: pip install x"), "Install it with: pip install x"),
        (MemoryError(), "out of memory: no message"),
        (RuntimeError("x" * 1000), f"RuntimeError: {'x' * 600}"),
        (AssertionError(), "AssertionError: no message"),
        (OSError(errno.ENOSPC, "No space left on device", "/cache/a"), "/cache/a: No space left on device"),
        (OSError(errno.ENOSPC, "Cannot write a: the disk is full."), "Cannot write a: the disk is full."),
        (OSError("no tokenizer there"), "no tokenizer there"),
    ],
)
def test_a_reason_is_one_line_and_people_need_no_type(error, said):
    assert reason(error) == said


def test_out_of_memory_on_a_gpu_is_told_as_such():
    import torch

    assert reason(torch.OutOfMemoryError("CUDA out of memory. Tried")) == "out of memory: CUDA out of memory. Tried"


def test_what_a_method_says_of_an_artifact_reaches_its_records(tmp_path):
    made = Compressed(tmp_path, "d", {"head": "stays"}, {"kept": "3 neurons"})
    said = {"kept": "3 neurons", "untouched": "1 layers left as they were (head: stays)"}
    assert variant._notes(made) == said
    assert variant._notes(Compressed(tmp_path, "d", notes={"kept": "3 neurons"})) == {"kept": "3 neurons"}


def test_untouched_layers_that_are_alike_are_told_together(tmp_path):
    untouched = {f"model.layers.{number}.mlp.up_proj": "64 does not divide 32" for number in (0, 1, 2, 5)}
    untouched |= {"lm_head": "stays"}
    assert variant._notes(Compressed(tmp_path, "d", untouched)) == {
        "untouched": "5 layers left as they were (model.layers.0-2,5.mlp.up_proj: 64 does not divide 32; "
        "lm_head: stays)"
    }
    many = {f"layer {chr(97 + number)}": f"reason {number}" for number in range(20)}
    assert variant._notes(Compressed(tmp_path, "d", many))["untouched"].endswith(
        "layer l: reason 11; and 8 more reasons)"
    )
    assert variant._notes(Compressed(tmp_path, "d")) == {}
