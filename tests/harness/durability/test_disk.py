"""A disk that is full or cannot be written: a sentence, and once it is mended the records of an undisturbed run."""

from __future__ import annotations

import json
import os
import resource
import subprocess

import pytest
from drivers import CELLS, lines_of, whole

from harness.cli import main
from harness.exits import ExitCode

TOLD = {ExitCode.STORE, ExitCode.INCOMPLETE, ExitCode.USAGE}
"""How a sweep ends that could not write: never a traceback."""


@pytest.fixture(scope="module")
def measured_once():
    """What the undisturbed run is, and how large with its cache: measured by the first test that asks."""
    return {}


@pytest.fixture
def undisturbed(measured_once, tiny_sweep, words, tmp_path):
    if not measured_once:
        run, cache = tmp_path / "undisturbed", tmp_path / "undisturbed-cache"
        assert main(words(run, cache)) == ExitCode.OK
        measured_once.update(told=whole(run), size=size_of(run, cache))
    return measured_once["told"]


def size_of(*folders):
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def fill(disk, free):
    """Leave so many bytes free."""
    stat = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - free)))


def require_as_undisturbed(run, undisturbed):
    """Where a reference was lost to the disk, a text is read without it, in other tiles."""
    assert rounded(whole(run)) == rounded(undisturbed)
    assert set(lines_of(run).values()) == {1}, "a cell whose record was written was measured again"


def rounded(told):
    """All numbers to seven digits: a text's float32 sums differ in the eleventh."""
    return json.loads(json.dumps(told, default=vars), parse_float=lambda digits: f"{float(digits):.7g}")


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_disk_that_is_full_loses_nothing(undisturbed, measured_once, words, tmpfs, capsys, share):
    disk = tmpfs(64 * 1024**2)
    command = words(disk / "run", disk / "cache")
    fill(disk, int(share * measured_once["size"]))
    assert main(command) in TOLD
    assert "Traceback" not in capsys.readouterr().err
    (disk / "ballast").unlink()
    assert main(command) == ExitCode.OK
    require_as_undisturbed(disk / "run", undisturbed)


@pytest.mark.parametrize("most", [2_000, 10_000, 30_000])
def test_nor_do_files_that_may_not_grow(undisturbed, words, tmp_path, capsys, most):
    """As under a quota, wherever these tests run: the kernel refuses every byte of a file beyond ``most``."""
    command = words(tmp_path / "run", tmp_path / "cache")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        assert main(command) in TOLD
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Traceback" not in capsys.readouterr().err
    assert main(command) == ExitCode.OK
    require_as_undisturbed(tmp_path / "run", undisturbed)


def test_a_cache_that_is_read_only_is_told_before_anything_is_measured(undisturbed, words, tmpfs, tmp_path, capsys):
    disk = tmpfs(64 * 1024**2)
    command = words(tmp_path / "run", disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert main(command) == ExitCode.USAGE
    assert f"The cache {disk} cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert main(command) == ExitCode.OK
    require_as_undisturbed(tmp_path / "run", undisturbed)


def test_one_that_becomes_read_only_in_the_middle_costs_the_variants_that_need_it(
    undisturbed, words, tmpfs, tmp_path, capsys, monkeypatch
):
    from results.store import Run

    disk, append, seen = tmpfs(64 * 1024**2), Run.append, []
    command = words(tmp_path / "run", disk)

    def turn(run, record, *rest):
        append(run, record, *rest)
        seen.append(record)
        if len(seen) == CELLS // 2:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    monkeypatch.setattr(Run, "append", turn)
    assert main(command) == ExitCode.INCOMPLETE
    assert "Traceback" not in capsys.readouterr().err
    reasons = {record.reason for record in seen if record.status == "failed"}
    assert any("Read-only file system" in reason for reason in reasons)
    monkeypatch.setattr(Run, "append", append)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert main(command) == ExitCode.OK
    require_as_undisturbed(tmp_path / "run", undisturbed)
