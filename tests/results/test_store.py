"""The run folder: what is kept, what survives a crash, and what is said when it cannot be."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import files, store
from results.cell import Cell, Variant
from results.environment import Environment
from results.estimate import Estimate, Sample
from results.files import StoreError
from results.lines import line_bytes, migrate
from results.lock import RunLocked
from results.record import SCHEMA, Record
from results.store import Run, UnreadableRun

ROOT = Path(store.__file__).resolve().parent.parent


def a_cell(language: str = "en", **fields: object) -> Cell:
    variant = Variant("m", "w" * 32, "rtn", {"bits": 4, "symmetric": False})
    return Cell(variant, "perplexity", 1, language, f"text-{language}", {"protocol": "rolling"}, **fields)  # type: ignore[arg-type]


def a_record(language: str = "en", value: float = 2.0, **fields: object) -> Record:
    defaults: dict = {"estimates": {"perplexity": Estimate(value, 1.0, 3.0, 0.95, "jackknife", 15.0, 16)}}
    return Record(a_cell(language), **{"status": "ok", **defaults, **fields})  # type: ignore[arg-type]


SAMPLES = (
    Sample("id0", "g0", {"nats": 1 / 3, "tokens": 10.0}, "ko", "한국어 𐀀 \ud800"),
    Sample("id1", "g1", {"nats": 1e-300, "tokens": 0.1 + 0.2}),
)


def test_what_is_appended_comes_back_exactly(tmp_path: Path) -> None:
    record = a_record(notes={"dtype": "bf16 몸통"}, seconds={"read": 1.5}, created="2026-01-01T00:00:00Z")
    with Run.open(tmp_path / "deep" / "run", write=True) as run:
        run.append(record, SAMPLES)
        assert run.records() == [record]
        assert run.samples(record.cell.key) == SAMPLES
    again = Run.open(tmp_path / "deep" / "run")
    assert again.records() == [record]
    assert again.records()[0].cell.key == record.cell.key
    assert again.samples(record.cell.key) == SAMPLES
    assert again.record(record.cell.key) == record
    assert again.record("0" * 32) is None
    assert again.samples("0" * 32) == ()
    assert again.notices == []


def test_the_latest_record_of_a_key_counts(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en", 1.0), SAMPLES[:1])
        run.append(a_record("ko", 5.0))
        run.append(a_record("en", 2.0), SAMPLES)
    run = Run.open(tmp_path)
    assert [r.estimates["perplexity"].value for r in run.records()] == [2.0, 5.0]
    assert run.samples(a_cell("en").key) == SAMPLES


def test_pending_is_what_has_no_ok_as_its_latest_record(tmp_path: Path) -> None:
    cells = [a_cell(code) for code in ("en", "ko", "ja", "fr")]
    failed = Record(cells[1], "failed", reason="NaN in layer 3")
    skipped = Record(cells[2], "skipped", reason="pip install x")
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
        run.append(a_record("ko"))
        run.append(failed)
        run.append(skipped)
        assert run.pending(cells) == cells[1:]
    assert Run.open(tmp_path).pending(cells) == cells[1:]
    assert Run.open(tmp_path).pending([a_cell("en", limit=3)]) == [a_cell("en", limit=3)]


def test_a_torn_last_line_is_dropped_with_a_notice_and_mended_by_the_next_writer(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    reader = Run.open(tmp_path)
    assert len(reader.records()) == 1
    assert str(path) in reader.notices[0]
    assert "incomplete" in reader.notices[0]
    assert path.read_bytes() != whole, "a reader must not write"
    with Run.open(tmp_path, write=True) as run:
        assert "dropped" in run.notices[0]
        run.append(a_record("ko"))
    assert Run.open(tmp_path).notices == []
    assert [r.cell.language for r in Run.open(tmp_path).records()] == ["en", "ko"]


@pytest.mark.parametrize("junk", [b"\x00\x00\x00\x00", b"\x00\x00\n", b'{"schema": 1, "key"\n', b"\xff\xfe\n"])
def test_any_damaged_end_is_a_torn_line(tmp_path: Path, junk: bytes) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + junk)
    with Run.open(tmp_path, write=True) as run:
        assert len(run.notices) == 1
    assert path.read_bytes() == whole


@pytest.mark.parametrize("junk", [b"not json", b"[1]", b"\xff\xfe", b'{"schema": 1}'])
def test_a_damaged_middle_line_names_file_and_line(tmp_path: Path, junk: bytes) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
        run.append(a_record("ko"))
    path = tmp_path / "records.jsonl"
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, junk, second, b""]))
    with pytest.raises(UnreadableRun, match=r"records\.jsonl, line 2: "):
        Run.open(tmp_path)
    with pytest.raises(UnreadableRun, match=r"records\.jsonl, line 2: "):
        Run.open(tmp_path, write=True)
    path.write_bytes(first + b"\n")
    with Run.open(tmp_path, write=True):
        pass  # the failed open gave its lock back


def test_two_damaged_lines_do_not_pass_for_whole_ones_by_completing_each_other(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"a":[{}\n{}]},{"b":1}\n' + path.read_bytes())
    with pytest.raises(UnreadableRun, match=r"records\.jsonl, line 1: damaged \(Expecting ',' delimiter: line 1 col"):
        Run.open(tmp_path)


@pytest.mark.parametrize("together", [1, 2, 3, 7])
def test_lines_that_are_read_together_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(files, "TOGETHER", together)
    with Run.open(tmp_path, write=True) as run:
        for limit in range(6):
            run.append(Record(a_cell("en", limit=limit + 1), "ok", {"perplexity": Estimate(float(limit))}))
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])  # all but its newline is there
    run = Run.open(tmp_path)
    assert [record.cell.limit for record in run.records()] == [1, 2, 3, 4, 5]
    assert "its last line was incomplete" in run.notices[0]
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"\x00\n", lines[5]]))
    with pytest.raises(
        UnreadableRun, match=r"line 5: damaged \(Expecting value: line 1 column 1 \(char 0\)\); remove or"
    ):
        Run.open(tmp_path)


def test_a_line_that_is_json_but_no_record_names_file_and_line(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    path = tmp_path / "records.jsonl"
    value = json.loads(path.read_text())
    value["estimates"]["perplexity"]["value"] = float("nan")
    path.write_text(json.dumps(value) + "\n")
    with pytest.raises(UnreadableRun, match=r"line 1: no record \(.*nan"):
        Run.open(tmp_path).records()


def test_schemas(tmp_path: Path) -> None:
    assert migrate({"schema": SCHEMA, "a": 1}) == {"schema": SCHEMA, "a": 1}
    for schema in (None, 0, "1", True):
        with pytest.raises(ValueError, match=f"its schema is {schema!r}"):
            migrate({"schema": schema})
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text().replace('"schema":1', '"schema":7'))
    with pytest.raises(
        UnreadableRun, match=r"line 1: its schema is 7, .* reads schemas 1 to 1; install a newer langgap"
    ):
        Run.open(tmp_path)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRun, match=r"is no run folder: it holds no records\.jsonl\. .*harness sweep"):
        Run.open(tmp_path)
    with pytest.raises(UnreadableRun, match="missing is no run folder: it does not exist"):
        Run.open(tmp_path / "missing")


def test_reading_does_not_write(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
    run = Run.open(tmp_path)
    for act in (lambda: run.append(a_record()), lambda: run.config("x"), lambda: run.add_environment(AN_ENVIRONMENT)):
        with pytest.raises(RuntimeError, match="open for reading; open it with write=True"):
            act()


# ---- samples ----


def the_samples_file(folder: Path) -> Path:
    (path,) = (folder / "samples").glob("*/*.jsonl")
    return path


def test_samples_cut_short_are_noticed_and_measured_again(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
    path = the_samples_file(tmp_path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-20])
    run = Run.open(tmp_path)
    with pytest.raises(
        UnreadableRun, match=rf"cut short or added to: it has {size - 20} bytes and its record says {size}"
    ):
        run.samples(a_cell("en").key)
    assert run.pending([a_cell("en")]) == [a_cell("en")]
    assert run.pending([a_cell("en")]) == [a_cell("en")]
    (notice,) = run.notices
    assert path.name in notice
    assert "measured again" in notice


def test_samples_altered_are_noticed(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
    path = the_samples_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"10.0", b"11.0"))
    with pytest.raises(UnreadableRun, match=r"was altered: .* Delete the file and run the same sweep again"):
        Run.open(tmp_path).samples(a_cell("en").key)
    path.unlink()
    run = Run.open(tmp_path)
    with pytest.raises(UnreadableRun, match=r"cannot be read \(No such file"):
        run.samples(a_cell("en").key)
    assert run.pending([a_cell("en")]) == [a_cell("en")]
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
        assert run.pending([a_cell("en")]) == []
    assert Run.open(tmp_path).samples(a_cell("en").key) == SAMPLES


def test_samples_are_on_disk_before_their_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_replace, real_append = store.replace, store.append_line
    monkeypatch.setattr(store, "replace", lambda path, content: (order.append("samples"), real_replace(path, content)))
    monkeypatch.setattr(store, "append_line", lambda path, line: (order.append("record"), real_append(path, line)))
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
    assert order == ["samples", "record"]


# ---- environments and configurations ----

AN_ENVIRONMENT = Environment("3.11.7", "Linux-6.1-x86_64", "a cpu", 2, {"OMP_NUM_THREADS": "2"}, {"torch": "2.13.0"})


def test_environments_are_kept_once(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        digest = run.add_environment(AN_ENVIRONMENT)
        assert run.add_environment(AN_ENVIRONMENT) == digest
        run.append(a_record(environment=digest))
    run = Run.open(tmp_path)
    assert run.environment(digest) == AN_ENVIRONMENT
    assert run.environment("0" * 32) is None
    assert len((tmp_path / "environments.jsonl").read_text().splitlines()) == 1


def test_a_torn_environment_is_dropped_and_a_damaged_one_named(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record())
        run.add_environment(AN_ENVIRONMENT)
    path = tmp_path / "environments.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"dig')
    with Run.open(tmp_path, write=True) as run:
        assert "environments.jsonl" in run.notices[0]
    assert path.read_bytes() == whole
    path.write_bytes(b'{"digest": "x", "environment": {"snake": 3}}\n' + whole)
    with pytest.raises(UnreadableRun, match=r"environments\.jsonl, line 1: no environment"):
        Run.open(tmp_path)


def test_configurations_are_named_by_their_text(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        first = run.config('name = "하나"\n')
        assert run.config('name = "하나"\n') == first
        second = run.config('name = "two"\n')
        assert run.configs() == [first, second]
    assert first.read_text(encoding="utf-8") == 'name = "하나"\n'
    assert first.name.startswith("sweep-")


# ---- the lock ----


def test_a_second_driver_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record())
        said = rf"{tmp_path} is being written by process {os.getpid()} on .+ since 20\d\d-.+\+00:00\. .*--out"
        with pytest.raises(RunLocked, match=said):
            Run.open(tmp_path, write=True)
        assert len(Run.open(tmp_path).records()) == 1, "readers are always let in"
    with Run.open(tmp_path, write=True):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from results.store import Run
run = Run.open(sys.argv[1], write=True)
print("locked", flush=True)
time.sleep(60)
"""


def test_a_killed_driver_frees_its_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(RunLocked, match=f"process {holder.pid} on"):
            Run.open(tmp_path, write=True)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record())


def _write_forever(folder: str) -> None:
    with Run.open(folder, write=True) as run:
        for i in range(100_000):
            run.append(Record(a_cell("en", limit=i + 1), "ok", {"perplexity": Estimate(float(i))}), SAMPLES)


def test_kill_9_at_any_moment_leaves_whole_records(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    done = 0
    for wait in (0.05, 0.11, 0.2):
        writer = context.Process(target=_write_forever, args=(str(tmp_path),))
        writer.start()
        while not (tmp_path / "records.jsonl").exists():
            time.sleep(0.01)
        time.sleep(wait)
        writer.kill()
        writer.join()
        with Run.open(tmp_path, write=True) as run:
            done = len(run.records())
            assert all(run.samples(record.cell.key) == SAMPLES for record in run.records())
    assert done > 0


# ---- a disk that cannot be written ----


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"), SAMPLES)
        before = (tmp_path / "records.jsonl").read_bytes()
        real, room = os.write, [200]

        def write(descriptor: int, content: bytes) -> int:
            if room[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = real(descriptor, bytes(content)[: room[0]])
            room[0] -= done
            return done

        monkeypatch.setattr(files.os, "write", write)
        for samples in ((), SAMPLES):
            room[0] = 200
            said = r"\(No space left on device\); nothing recorded so far is lost: .*run the same command again"
            with pytest.raises(StoreError, match=said):
                run.append(a_record("ko"), samples)
            assert (tmp_path / "records.jsonl").read_bytes() == before
        monkeypatch.undo()
        assert [r.cell.language for r in run.records()] == ["en"]
        run.append(a_record("ko"))
    assert [r.cell.language for r in Run.open(tmp_path).records()] == ["en", "ko"]
    assert not list(tmp_path.glob("samples/*/.*")), "no temporary file is left"


def test_an_interrupted_write_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(a_record("en"))
        real = os.write

        def interrupted(descriptor: int, content: bytes) -> int:
            real(descriptor, bytes(content)[:30])
            raise KeyboardInterrupt

        monkeypatch.setattr(files.os, "write", interrupted)
        for samples in ((), SAMPLES):
            with pytest.raises(KeyboardInterrupt):
                run.append(a_record("ko"), samples)
        monkeypatch.undo()
        run.append(a_record("ja"))
    again = Run.open(tmp_path)
    assert [r.cell.language for r in again.records()] == ["en", "ja"]
    assert again.notices == []
    assert not list(tmp_path.glob("samples/*/.*"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(StoreError, match=rf"{blocked}/run cannot be written \(Not a directory\)"):
        Run.open(blocked / "run", write=True)
    (tmp_path / "run" / "lock").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"lock cannot be written \(Is a directory\)"):
        Run.open(tmp_path / "run", write=True)


def test_many_lines_open_fast(tmp_path: Path) -> None:
    """A twentieth of 100,000 lines; on two slow cores the whole takes about 4 s to open and 6 s to make records of."""
    line = line_bytes(a_record("en").to_json())
    key = a_cell("en").key.encode()
    with (tmp_path / "records.jsonl").open("wb") as file:
        for i in range(5000):
            file.write(line.replace(key, b"%032x" % i, 1))
    start = time.process_time()
    assert len(Run.open(tmp_path).records()) == 5000
    assert time.process_time() - start < 2
