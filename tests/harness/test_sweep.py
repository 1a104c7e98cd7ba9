"""Whole sweeps over a tiny model: what a run holds after failures, interruptions and damage."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import readings
from harness.cli import main
from harness.exits import ExitCode
from methods.base import MissingLibrary, UnsupportedModel
from methods.none import Uncompressed
from methods.rtn import Rtn
from results import files, store
from results.store import Run

ROOT = Path(__file__).parents[2]
CELLS = 10
TASKS = [word for task in ("perplexity", "fidelity", "footprint") for word in ("--task", task)]
METHODS = [{"name": "none"}, {"name": "rtn", "bits": [4, 3], "granularity": "row"}]


def statuses(records):
    return {key: record.status for key, record in records.items()}


class TestInterruption:
    """The undisturbed run is made once a test; the disturbed one starts with an empty cache of its own."""

    @pytest.fixture
    def undisturbed(self, tiny_sweep):
        assert tiny_sweep("undisturbed", "other cache") == ExitCode.OK
        told = tiny_sweep.told("undisturbed")
        assert len(told) == CELLS
        return told

    def test_before_or_after_any_record_loses_nothing(self, tiny_sweep, undisturbed, monkeypatch):
        append = Run.append
        for index in range(CELLS):
            for after in (False, True):
                name, seen = f"{index}{after}", []

                def stop(run, record, *rest, after=after, index=index, seen=seen):
                    seen.append(record)
                    if after or len(seen) <= index:
                        append(run, record, *rest)
                    if len(seen) > index:
                        raise KeyboardInterrupt

                monkeypatch.setattr(Run, "append", stop)
                with pytest.raises(KeyboardInterrupt):
                    tiny_sweep(name, f"cache {name}")
                monkeypatch.setattr(Run, "append", append)
                if index + after:  # else there is no record yet, so no run to read
                    assert len(tiny_sweep.told(name)) == index + after
                assert tiny_sweep(name, f"cache {name}") == ExitCode.OK
                assert tiny_sweep.told(name) == undisturbed

    @pytest.mark.parametrize("reading", range(4))
    def test_while_a_text_is_read_loses_nothing(self, tiny_sweep, undisturbed, monkeypatch, reading):
        hidden, calls = readings._hidden, []

        def stop(*arguments):
            calls.append(arguments)
            if len(calls) > reading:
                raise KeyboardInterrupt
            return hidden(*arguments)

        monkeypatch.setattr(readings, "_hidden", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny_sweep()
        monkeypatch.setattr(readings, "_hidden", hidden)
        assert tiny_sweep() == ExitCode.OK
        assert tiny_sweep.told() == undisturbed

    @pytest.mark.parametrize("method", ["rtn", "awq"])
    def test_between_two_blocks_keeps_the_first(self, tiny_sweep, monkeypatch, method):
        from methods.artifact import Writer

        small = {"grid": 2, "clip_grid": 2} if method == "awq" else {}
        asked = {"method": [{"name": method, "granularity": "row", **small}]}
        assert tiny_sweep("undisturbed", "other cache", **asked) == ExitCode.OK
        block, stored = Writer.block, []

        def stop(writer, index, *rest):
            if index == 1 and len(stored) == 1:
                stored.append("interrupted")
                raise KeyboardInterrupt
            stored.append(index)
            block(writer, index, *rest)

        monkeypatch.setattr(Writer, "block", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny_sweep(**asked)
        assert tiny_sweep(**asked) == ExitCode.OK
        assert stored == [0, "interrupted", 1]
        assert tiny_sweep.told() == tiny_sweep.told("undisturbed")


class TestKill:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_minus_nine_and_a_torn_line_lose_nothing(self, tiny_sweep, tiny_folder, tmp_path, capsys, seed):
        moment = random.Random(seed).randint(1, CELLS - 2)
        command = ["sweep", "--model", str(tiny_folder()), "--method", "none", "--method", "rtn:granularity=row"]
        command += [*TASKS, "--languages", "en,ko", "--limit", "2", "--out", str(tmp_path / "run")]
        here = [*command, "--cache", str(tmp_path / "cache")]
        records = tmp_path / "run" / "records.jsonl"
        # The child runs as from a shell, but with the threads and tiles of this process.
        program = "from harness import scoring, __main__; scoring.TILE_BYTES = 512 * 1024; __main__.run()"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            [sys.executable, "-c", program, *here],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ends = time.monotonic() + 120
            while not (records.exists() and records.read_bytes().count(b"\n") >= moment):
                assert child.poll() is None
                assert time.monotonic() < ends
                time.sleep(0.001)
            child.send_signal(signal.SIGSTOP)  # so that it still holds the run
            assert main(here) == ExitCode.USAGE
            refused = capsys.readouterr().err
            assert f"is being written by process {child.pid}" in refused
            assert "--out" in refused
        finally:
            child.kill()
            assert child.wait() == -signal.SIGKILL
        with records.open("ab") as file:
            file.write(b'{"schema": 1, "key": "0123')
        assert main(here) == ExitCode.OK
        assert "its last line was incomplete" in capsys.readouterr().err
        elsewhere = [str(tmp_path / "undisturbed") if word == str(tmp_path / "run") else word for word in command]
        assert main([*elsewhere, "--cache", str(tmp_path / "other cache")]) == ExitCode.OK
        told = tiny_sweep.told()
        assert len(told) == CELLS
        assert told == tiny_sweep.told("undisturbed")


class TestFailingVariant:
    ERRORS = (
        (2, ValueError("the weights are odd"), "failed", "the weights are odd"),
        (3, MemoryError("no 3 GB left"), "failed", "out of memory: no 3 GB left"),
        (8, UnsupportedModel("llama is too new for this"), "failed", "llama is too new for this"),
    )

    def test_costs_nothing_but_its_own_cells(self, tiny_sweep, monkeypatch):
        compress, errors = Rtn.compress, {bits: error for bits, error, _, _ in self.ERRORS}

        def fail(method, *arguments):
            if method.bits in errors:
                raise errors[method.bits]
            return compress(method, *arguments)

        monkeypatch.setattr(Rtn, "compress", fail)
        asked = [{"name": "none"}, {"name": "rtn", "bits": [2, 3, 8, 4], "granularity": "row"}]
        assert tiny_sweep(method=asked) == ExitCode.INCOMPLETE
        records = tiny_sweep.records()
        for bits, _, status, reason in self.ERRORS:
            mine = [record for (_, found, *_), record in records.items() if found == bits]
            assert [(record.status, record.reason) for record in mine] == [(status, reason)] * 5
        assert {record.status for key, record in records.items() if key[1] in (None, 4)} == {"ok"}
        monkeypatch.setattr(Rtn, "compress", compress)
        assert tiny_sweep(method=asked) == ExitCode.OK
        assert set(statuses(tiny_sweep.records()).values()) == {"ok"}

    def test_a_bug_carries_its_type(self, tiny_sweep, monkeypatch):
        def fail(*arguments):
            raise KeyError("model.layers.7")

        monkeypatch.setattr(Rtn, "compress", fail)
        assert tiny_sweep(limit=1, languages=["en"]) == ExitCode.INCOMPLETE
        assert tiny_sweep.records()["rtn", 4, "footprint", "und"].reason == "KeyError: 'model.layers.7'"

    def test_a_missing_library_is_skipped_and_counts_under_strict_only(self, tiny_sweep, monkeypatch):
        sentence = "It needs the library x. Install it with: pip install 'langgap[x]'"

        def fail(*arguments):
            raise MissingLibrary(sentence)

        monkeypatch.setattr(Rtn, "compress", fail)
        small = {"limit": 1, "languages": ["en"]}
        assert tiny_sweep(**small) == ExitCode.OK
        skipped = [record for key, record in tiny_sweep.records().items() if key[0] == "rtn"]
        assert [(record.status, record.reason) for record in skipped] == [("skipped", sentence)] * 3
        assert tiny_sweep(strict=True, **small) == ExitCode.INCOMPLETE

    def test_reading_one_language_costs_that_language(self, tiny_sweep, monkeypatch):
        read = readings.read

        def fail(lm, passages, protocol, reference, keep, progress, **batches):
            if reference and passages[0].language == "ko" and not batches:
                raise RuntimeError("the kernel\nhas moods")
            return read(lm, passages, protocol, reference, keep, progress, **batches)

        monkeypatch.setattr(readings, "read", fail)
        assert tiny_sweep() == ExitCode.INCOMPLETE
        failed = {key: record.reason for key, record in tiny_sweep.records().items() if record.status != "ok"}
        lost = [("rtn", 4, "fidelity", "ko"), ("rtn", 4, "perplexity", "ko")]
        assert failed == dict.fromkeys(lost, "RuntimeError: the kernel has moods")


class TestNoReference:
    def test_without_none_what_is_measured_against_it_is_skipped_and_tried_again(self, tiny_sweep, monkeypatch):
        compress = Uncompressed.compress

        def fail(*arguments):
            raise ValueError("the disk hummed")

        monkeypatch.setattr(Uncompressed, "compress", fail)
        assert tiny_sweep() == ExitCode.INCOMPLETE
        records = tiny_sweep.records()
        for code in ("en", "ko"):
            fidelity = records["rtn", 4, "fidelity", code]
            assert fidelity.status == "skipped"
            assert fidelity.reason == "no reference: `none` failed (the disk hummed)"
            assert records["rtn", 4, "perplexity", code].status == "ok"
        assert records["rtn", 4, "footprint", "und"].status == "ok"
        monkeypatch.setattr(Uncompressed, "compress", compress)
        assert tiny_sweep() == ExitCode.OK
        assert set(statuses(tiny_sweep.records()).values()) == {"ok"}

    def test_a_language_that_none_could_not_read_is_not_read_again_for_each_variant(self, tiny_sweep, monkeypatch):
        read, tries = readings.read, []

        def fail(lm, passages, protocol, reference, keep, progress, **batches):
            if keep and passages[0].language == "ko":
                tries.append(passages)
                raise ValueError("no")
            return read(lm, passages, protocol, reference, keep, progress, **batches)

        monkeypatch.setattr(readings, "read", fail)
        assert tiny_sweep() == ExitCode.INCOMPLETE
        found = statuses(tiny_sweep.records())
        assert found.pop(("none", None, "perplexity", "ko")) == "failed"
        assert found.pop(("none", None, "fidelity", "ko")) == "failed"
        assert found.pop(("rtn", 4, "fidelity", "ko")) == "skipped"
        assert set(found.values()) == {"ok"}
        assert len(tries) == 1


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-9])


def alter(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def no_mapping(path):
    path.write_text("[]")


DAMAGE = {
    "all removed": lambda hidden: shutil.rmtree(hidden),
    "a passage removed": lambda hidden: min(hidden.glob("[!h]*/*.safetensors")).unlink(),
    "a passage cut short": lambda hidden: cut_short(min(hidden.glob("[!h]*/*.safetensors"))),
    "a passage altered": lambda hidden: alter(min(hidden.glob("[!h]*/*.safetensors"))),
    "the list cut short": lambda hidden: cut_short(min(hidden.glob("*/complete.json"))),
    "the list replaced": lambda hidden: no_mapping(min(hidden.glob("*/complete.json"))),
}


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_to_hidden_states_is_mended_by_reading_none_again(self, tiny_sweep, tmp_path, damage):
        small = {"limit": 1, "languages": ["en"]}
        tiny_sweep("undisturbed", "other cache", method=METHODS, **small)
        tiny_sweep(method=METHODS[:1], **small)
        DAMAGE[damage](tmp_path / "cache" / "hidden")
        assert tiny_sweep(method=METHODS, **small) == ExitCode.OK
        assert tiny_sweep.told() == tiny_sweep.told("undisturbed")

    @pytest.mark.parametrize("damage", [cut_short, alter])
    def test_to_the_head_of_none_is_mended_when_a_variant_with_another_needs_it(
        self, tiny_sweep, tmp_path, monkeypatch, damage
    ):
        from harness.hiddenstore import HiddenStore

        def head_of_none(store, lm):
            lm.head_digest = "of a head that was compressed"
            return read(store, lm)

        small, read = {"limit": 1, "languages": ["en", "ko"]}, HiddenStore.head
        tiny_sweep("undisturbed", "other cache", method=METHODS, **small)
        tiny_sweep(method=METHODS[:1], **small)
        (head,) = (tmp_path / "cache" / "hidden").glob("head-*/*")
        whole = head.read_bytes()
        damage(head)
        monkeypatch.setattr(HiddenStore, "head", head_of_none)
        assert tiny_sweep(method=METHODS, **small) == ExitCode.OK
        assert tiny_sweep.told() == tiny_sweep.told("undisturbed")
        assert head.read_bytes() == whole, "not made again"

    @pytest.mark.parametrize(
        ("file", "damage"),
        [
            ("block-00001.safetensors", alter),
            ("block-00001.safetensors", cut_short),
            ("manifest.json", alter),
            ("manifest.json", no_mapping),
            ("config.json", alter),
            ("checkpoint/model.safetensors", Path.unlink),
        ],
    )
    def test_to_an_artifact_is_mended_by_making_it_again(self, tiny_sweep, tmp_path, file, damage):
        small = {"limit": 1, "languages": ["en"]}
        tiny_sweep("undisturbed", **small)
        damage(next((tmp_path / "cache" / "artifacts").glob(f"*/{file}")))
        assert tiny_sweep(**small) == ExitCode.OK
        assert tiny_sweep.told() == tiny_sweep.told("undisturbed")

    def test_to_samples_is_told_and_mended(self, tiny_sweep, tmp_path, capsys):
        small = {"limit": 1, "languages": ["en"]}
        tiny_sweep(**small)
        told = tiny_sweep.told()
        cut_short(min((tmp_path / "run" / "samples").glob("*/*.jsonl")))
        capsys.readouterr()
        assert tiny_sweep(**small) == ExitCode.OK
        said = capsys.readouterr().err
        assert "is missing or cut short: its cell is measured again" in said
        assert "1 cell to measure, 5 measured before" in said
        assert tiny_sweep.told() == told


class TestWeights:
    @pytest.fixture
    def sick_folder(self, tiny_folder, tmp_path):
        from safetensors.torch import load_file, save_file

        shutil.copytree(tiny_folder(), tmp_path / "sick")
        path = tmp_path / "sick" / "model.safetensors"
        tensors = load_file(path)
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
        save_file(tensors, path, {"format": "pt"})
        return path.parent

    def test_that_are_not_finite_fail_their_model_alone_by_name(self, tiny_sweep, tiny_folder, sick_folder):
        models = [str(sick_folder), str(tiny_folder())]
        assert tiny_sweep(models=models, limit=1, languages=["en"]) == ExitCode.INCOMPLETE
        found = Run.open(tiny_sweep.path / "run").records()
        healthy = [record for record in found if record.cell.variant.model == models[1]]
        assert [record.status for record in healthy] == ["ok"] * 6
        reasons = {
            (record.cell.variant.method, record.cell.task): record.reason
            for record in found
            if record.cell.variant.model == models[0] and record.status == "failed"
        }
        assert "model.layers.1.mlp.up_proj.weight holds 1 values that are not finite" in reasons["rtn", "footprint"]
        assert "not finite" in reasons["none", "perplexity"]

    def test_that_a_group_does_not_divide_stay_and_are_named(self, tiny_sweep):
        asked = [{"name": "none"}, {"name": "rtn", "granularity": "group:64"}]  # divides down_proj's 64, not 32
        assert tiny_sweep(method=asked) == ExitCode.OK
        for (method, *_), record in tiny_sweep.records().items():
            assert record.status == "ok"
            note = record.notes.get("untouched", "")
            if method == "rtn":
                assert note.startswith("13 layers left as they were (")
                assert "self_attn" in note
                assert "64" in note
                assert "down_proj" not in note
            else:
                assert note == ""


class TestDisk:
    def command(self, tiny_folder, tmp_path, cache="cache"):
        words = ["sweep", "--model", str(tiny_folder()), "--method", "rtn:granularity=row", "--languages", "en"]
        return [*words, *TASKS, "--limit", "1", "--out", str(tmp_path / "run"), "--cache", str(tmp_path / cache)]

    def test_full_in_mid_record_ends_with_6_and_loses_nothing(
        self, tiny_sweep, tiny_folder, tmp_path, monkeypatch, capsys
    ):
        command, write, seen = self.command(tiny_folder, tmp_path), files._write_all, []

        def fill(descriptor, content):
            seen.append(content)
            if bytes(content).startswith(b'{"schema"') and sum(it.startswith(b'{"schema"') for it in seen) == 3:
                os.write(descriptor, content[:40])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(descriptor, content)

        monkeypatch.setattr(files, "_write_all", fill)
        assert main(command) == ExitCode.STORE
        said = capsys.readouterr().err
        assert f"{tmp_path / 'run' / 'records.jsonl'} cannot be written (No space left on device)" in said
        assert "nothing recorded so far is lost" in said
        assert "Traceback" not in said
        run = Run.open(tmp_path / "run")
        assert (len(run.records()), run.notices) == (2, [])
        monkeypatch.setattr(files, "_write_all", write)
        assert main(command) == ExitCode.OK
        assert "4 cells to measure, 2 measured before" in capsys.readouterr().err
        assert set(statuses(tiny_sweep.records()).values()) == {"ok"}

    def test_a_run_folder_that_cannot_be_made_ends_with_6(self, tiny_sweep, tiny_folder, tmp_path, capsys):
        (tmp_path / "run").write_text("a file")
        assert main(self.command(tiny_folder, tmp_path)) == ExitCode.STORE
        assert f"{tmp_path / 'run'} cannot be written" in capsys.readouterr().err

    def test_a_cache_that_cannot_be_made_is_told_before_anything_is_begun(
        self, tiny_sweep, tiny_folder, tmp_path, capsys
    ):
        (tmp_path / "taken").write_text("a file")
        assert main(self.command(tiny_folder, tmp_path, "taken/cache")) == ExitCode.USAGE
        said = capsys.readouterr().err
        assert f"The cache {tmp_path / 'taken' / 'cache'} cannot be made (Not a directory)" in said
        assert "--cache" in said
        assert not (tmp_path / "run").exists()

    def test_full_under_an_artifact_fails_that_variant(self, tiny_sweep, tiny_folder, tmp_path, monkeypatch):
        from methods import _files

        save = _files.save_file
        monkeypatch.setattr(_files, "save_file", no_space)
        assert main(self.command(tiny_folder, tmp_path)) == ExitCode.INCOMPLETE
        records = tiny_sweep.records()
        reason = records["rtn", 4, "footprint", "und"].reason
        assert reason.startswith(f"Cannot write {tmp_path / 'cache' / 'artifacts'}")
        assert "the disk is full" in reason
        assert records["none", None, "perplexity", "en"].status == "ok"
        monkeypatch.setattr(_files, "save_file", save)
        assert main(self.command(tiny_folder, tmp_path)) == ExitCode.OK

    def test_full_under_hidden_states_fails_that_reading(self, tiny_sweep, tiny_folder, tmp_path, monkeypatch):
        from harness import hiddenstore

        save = hiddenstore.save_file
        monkeypatch.setattr(hiddenstore, "save_file", no_space)
        assert main(self.command(tiny_folder, tmp_path)) == ExitCode.INCOMPLETE
        found = tiny_sweep.records()
        assert found["none", None, "perplexity", "en"].reason == "No space left on device"
        assert found["none", None, "footprint", "und"].status == "ok"
        assert found["rtn", 4, "fidelity", "en"].status == "skipped"
        assert found["rtn", 4, "perplexity", "en"].status == "ok"
        monkeypatch.setattr(hiddenstore, "save_file", save)
        assert main(self.command(tiny_folder, tmp_path)) == ExitCode.OK


def no_space(*arguments, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_wording_shared_with_calibration_text_is_told_in_the_records_it_flatters(tiny_sweep, tmp_path):
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    (tmp_path / "test-en.txt").write_text(f"{shared}\n\nand a second document")
    (tmp_path / "test-ko.txt").write_text("하나 둘 셋\n\n넷 다섯")
    (tmp_path / "calibration.txt").write_text(f"{shared} and then some more of it")
    asked = {
        "method": [
            {"name": "none"},
            {"name": "rtn", "granularity": "row"},
            {"name": "awq", "granularity": "row", "grid": 1, "clip": False},
        ],
        "task": [{"name": "perplexity", "corpus": f"file:{tmp_path}/test-{{language}}.txt"}, {"name": "footprint"}],
        "calibration": {
            "corpus": f"file:{tmp_path}/calibration.txt",
            "sequences": 1,
            "length": 32,
            "languages": {"en": 1},
        },
    }
    assert tiny_sweep(**asked) == ExitCode.OK
    told = {key: record.notes["overlap"] for key, record in tiny_sweep.records().items() if "overlap" in record.notes}
    assert list(told) == [("awq", 4, "perplexity", "en")]
    assert told["awq", 4, "perplexity", "en"].startswith("en: 1 of 2 test passages share 13 words or more")


def test_a_mistake_in_a_method_leaves_no_run_folder(tiny_sweep, tmp_path):
    from harness.problems import UserError

    with pytest.raises(UserError, match="bits=5"):
        tiny_sweep(method=[{"name": "rtn", "bits": 5}])
    assert not (tmp_path / "run").exists()


def test_records_are_kept_as_they_come(tiny_sweep, monkeypatch):
    """A crash in the page, after all, costs no cell."""
    from harness import sweep

    def crash(options, run):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(sweep, "_publish", crash)
    with pytest.raises(RuntimeError, match="no fonts"):
        tiny_sweep(limit=1, languages=["en"])
    assert set(statuses(tiny_sweep.records()).values()) == {"ok"}
    assert store.RECORDS in [path.name for path in (tiny_sweep.path / "run").iterdir()]
