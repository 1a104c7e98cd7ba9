"""A library's process that goes wrong in every way: the sentence we get, and what is left of it (nothing)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from methods import _worker
from methods._worker import WorkerFailed, run
from methods.base import MissingLibrary, UnsupportedModel

ROOT = Path(__file__).parents[2]


def python_that(folder: Path, does: str) -> Path:
    """A stand-in for a library's Python: it runs ``does`` (job folder: ``job``) in place of the worker."""
    path = folder / "python"
    head = f"#!{sys.executable} -S\nimport json, os, sys, time\nfrom pathlib import Path\njob = Path(sys.argv[3])\n"
    path.write_text(head + textwrap.dedent(does), encoding="utf-8")
    path.chmod(0o755)
    return path


def python_with(folder: Path, **modules: str) -> Path:
    """The real Python, with these modules before all others."""
    site = folder / "site"
    site.mkdir()
    for name, text in modules.items():
        (site / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    asked = {"method": "ref_hqq", "params": {}, "model": "nowhere", "dtype": "float32", "device": "cpu", "ignore": []}
    (folder / "job.json").write_text(json.dumps(asked), encoding="utf-8")
    return folder


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(true: object, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


GOOD = "(job / 'result.json').write_text(json.dumps({'notes': {'a': 'b'}, 'seconds': 2.5, 'peak_bytes': 7}))"


def test_a_result_is_handed_over(job: Path, tmp_path: Path) -> None:
    result = run(job, python_that(tmp_path, GOOD), "lib", 60)
    assert (result.notes, result.seconds, result.peak_bytes) == ({"a": "b"}, 2.5, 7)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("print('a\\rload\\nboom'); sys.exit(3)", r"^lib ended with exit code 3; its last lines: load \| boom$"),
        ("os.kill(os.getpid(), 9)", r"^lib was ended by SIGKILL \(the kernel does that .*\); it printed nothing$"),
        ("os.abort()", "^lib was ended by SIGABRT"),
        ("pass", "^lib ended without a result; it printed nothing$"),
        ("(job / 'result.json').write_text('{')", "^lib wrote a result that cannot be read"),
        ("(job / 'result.json').write_text('[1]')", "^lib wrote a result that cannot be read"),
        (GOOD + "; sys.exit(1)", "^lib ended with exit code 1"),
    ],
)  # fmt: skip
def test_a_failure_is_a_sentence_with_the_last_lines(job: Path, tmp_path: Path, does: str, said: str) -> None:
    with pytest.raises(WorkerFailed, match=said):
        run(job, python_that(tmp_path, does), "lib", 60)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (("KeyError", "'w'"), WorkerFailed, "^lib failed with KeyError: 'w'; it printed nothing$"),
        (("MemoryError", ""), WorkerFailed, "^lib ran out of memory"),
        (("RuntimeError", "DefaultCPUAllocator: can't allocate memory"), WorkerFailed, "^lib ran out of memory"),
        (("AssertionError", "Torch not compiled with CUDA enabled"), MissingLibrary, "^lib needs a CUDA device for"),
        (("UnsupportedModel", "not this one."), UnsupportedModel, "^not this one.$"),
        (("MissingLibrary", "needs a CUDA device."), MissingLibrary, "^needs a CUDA device.$"),
    ],
)
def test_what_the_worker_reports_is_raised_here(
    job: Path, tmp_path: Path, error: tuple[str, str], kind: type[Exception], said: str
) -> None:
    result = json.dumps({"error": {"type": error[0], "message": error[1]}})
    with pytest.raises(kind, match=said):
        run(job, python_that(tmp_path, f"(job / 'result.json').write_text({result!r})"), "lib", 60)


def test_one_that_hangs_is_stopped_with_all_it_started(job: Path, tmp_path: Path) -> None:
    does = """
        import subprocess
        other = subprocess.Popen(["sleep", "300"])
        print(os.getpid(), other.pid, flush=True)
        time.sleep(300)
    """
    with pytest.raises(WorkerFailed, match=r"^lib was stopped after 2 seconds without a result; its last lines: \d+"):
        run(job, python_that(tmp_path, does), "lib", 2)
    pids = [int(word) for word in (job / "log.txt").read_text().split()]
    assert len(pids) == 2
    assert all(wait_for(lambda pid=pid: gone(pid)) for pid in pids)


def test_none_is_left_when_we_are_killed(job: Path, tmp_path: Path) -> None:
    """The real worker, stuck in a library that has started a process of its own, under a parent that is killed."""
    torch = """
        import os, subprocess, time
        other = subprocess.Popen(["sleep", "300"])
        print(os.getpid(), other.pid, flush=True)
        time.sleep(300)
    """
    python = python_with(tmp_path, torch=torch)
    call = "import pathlib, sys; from methods._worker import run; run(*map(pathlib.Path, sys.argv[1:]), 'lib', 99)"
    parent = subprocess.Popen([sys.executable, "-c", call, str(job), str(python)], cwd=ROOT)
    log = job / "log.txt"
    assert wait_for(lambda: log.exists() and len(log.read_text().split()) == 2)
    pids = [int(word) for word in log.read_text().split()]
    group = os.getpgid(pids[0])
    assert not any(map(gone, pids))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(wait_for(lambda pid=pid: gone(pid)) for pid in pids)
    assert wait_for(lambda: not _alive(group))  # the guardian too


def _alive(group: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            return True
    return False


def test_an_interrupted_wait_leaves_none(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    class Interrupted(popen):  # type: ignore[type-arg,misc,valid-type]
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(_worker.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(job, python_that(tmp_path, "time.sleep(300)"), "lib", 60)
    assert gone(started[0].pid)


def test_the_worker_catches_what_its_library_raises(job: Path, tmp_path: Path) -> None:
    python = python_with(tmp_path, torch="raise RuntimeError('no such kernel')")
    with pytest.raises(WorkerFailed, match=r"^lib failed with RuntimeError: no such kernel; its last lines: .*kernel$"):
        run(job, python, "lib", 60)


def test_the_worker_does_not_see_our_files_as_libraries(job: Path, tmp_path: Path) -> None:
    """`methods` holds an awq.py and a gptq.py; a library of that name must be found instead."""
    python = python_with(tmp_path, torch="import awq, sys; raise SystemExit(awq.WHO)", awq="WHO = 'the library'")
    with pytest.raises(WorkerFailed, match=r"^lib failed with SystemExit: the library"):
        run(job, python, "lib", 60)
