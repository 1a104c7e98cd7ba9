from __future__ import annotations

import doctest
import json
import os
import time

import pytest

from harness import cache
from harness.cache import DAY, entries, prune, seconds
from harness.problems import UserError
from methods._lease import lease


@pytest.fixture
def folder(tmp_path):
    """An artifact of today, moments of 40 days ago, an interrupted artifact, and the lease of one that died."""
    root = tmp_path / "cache"
    whole = root / "artifacts" / "aaaa"
    whole.mkdir(parents=True)
    (whole / "manifest.json").write_text(json.dumps({"method": "rtn", "params": {"bits": 4, "symmetric": False}}))
    (whole / "block-00000.safetensors").write_bytes(b"x" * 3_000_000)
    (root / "artifacts" / "bbbb").mkdir()
    (root / "artifacts" / "bbbb" / "block-00000.safetensors").write_bytes(b"x" * 10)
    lease_of_the_dead = root / "artifacts" / "aaaa.lease"
    lease_of_the_dead.write_text("elsewhere 1 0123")
    os.utime(lease_of_the_dead, (0, 0))
    (root / "moments").mkdir()
    old = root / "moments" / "cccc.safetensors"
    old.write_bytes(b"x" * 500)
    os.utime(old, (time.time() - 40 * DAY,) * 2)
    (root / "digests.json").write_text("{}")
    return root


def test_examples():
    assert doctest.testmod(cache).failed == 0


def test_entries_say_kind_size_use_and_what_they_are(folder):
    found = {entry.digest: entry for entry in entries(folder)}
    assert set(found) == {"aaaa", "bbbb", "cccc.safetensors"}
    assert found["aaaa"].what == "rtn bits=4 symmetric=False"
    assert 3_000_000 < found["aaaa"].bytes < 3_000_100
    assert found["aaaa"].damaged is None
    assert found["cccc.safetensors"].kind == "moments"
    assert abs(found["cccc.safetensors"].used - (time.time() - 40 * DAY)) < 60


def test_an_interrupted_artifact_an_unreadable_manifest_and_an_empty_entry_are_listed_as_damaged(folder):
    (folder / "artifacts" / "aaaa" / "manifest.json").write_text("{")
    (folder / "models" / "eeee").mkdir(parents=True)
    damaged = {entry.digest: entry.damaged for entry in entries(folder) if entry.damaged}
    assert damaged["bbbb"] == "it has no manifest: it is being written, or was interrupted"
    assert damaged["aaaa"].startswith("its manifest cannot be read (")
    assert damaged["eeee"] == "it is empty"


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"method": "x", "params": [1]}'])
def test_any_strange_manifest_is_damage_and_no_crash(folder, manifest):
    (folder / "artifacts" / "aaaa" / "manifest.json").write_text(manifest)
    found = {entry.digest: entry for entry in entries(folder)}
    assert found["aaaa"].damaged


def test_a_missing_cache_is_empty(tmp_path):
    assert entries(tmp_path / "no") == []
    assert prune(tmp_path / "no") == []


def test_looking_does_not_count_as_use(folder):
    manifest = folder / "artifacts" / "aaaa" / "manifest.json"
    for file in manifest.parent.iterdir():
        os.utime(file, (time.time() - 40 * DAY,) * 2)
    os.utime(manifest, (time.time(), time.time() - 40 * DAY))
    (used,) = (entry.used for entry in entries(folder) if entry.digest == "aaaa")
    assert used < time.time() - 39 * DAY


def test_prune_by_age_leaves_what_is_in_use(folder):
    assert [entry.digest for entry in prune(folder, older_than=30 * DAY)] == ["cccc.safetensors"]
    assert {entry.digest for entry in entries(folder)} == {"aaaa", "bbbb"}


def test_prune_by_kind_and_all(folder):
    assert {entry.digest for entry in prune(folder, kind="artifacts")} == {"aaaa", "bbbb"}
    assert [entry.digest for entry in prune(folder)] == ["cccc.safetensors"]
    assert entries(folder) == []
    assert (folder / "digests.json").exists()


def test_a_dry_run_removes_nothing(folder):
    assert len(prune(folder, dry_run=True)) == 3
    assert len(entries(folder)) == 3


def test_what_is_being_made_stays(folder):
    with lease(folder / "artifacts" / "aaaa"):
        assert {entry.digest for entry in prune(folder, kind="artifacts")} == {"bbbb"}
    assert {entry.digest for entry in prune(folder, kind="artifacts")} == {"aaaa"}


def test_links_are_removed_and_what_they_point_to_stays(folder, tmp_path):
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "thesis.txt").write_text("years")
    (folder / "artifacts" / "dddd").symlink_to(outside)
    (folder / "artifacts" / "aaaa" / "inner").symlink_to(outside)
    (folder / "hidden").symlink_to(outside)
    (entry,) = (entry for entry in entries(folder) if entry.digest == "dddd")
    assert (entry.bytes, entry.damaged) == (0, "it leads out of the cache")
    prune(folder)
    assert (outside / "thesis.txt").read_text() == "years"
    assert not (folder / "artifacts" / "dddd").is_symlink()


def test_a_folder_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=r"does not look like our cache: it holds 'photos'\. Nothing was removed"):
        prune(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder"):
        prune(tmp_path / "file")


def test_only_entries_of_the_cache_can_be_removed(folder, tmp_path):
    with pytest.raises(ValueError, match="is no entry of the cache"):
        cache._remove(folder, tmp_path)
    with pytest.raises(ValueError, match="is no entry of the cache"):
        cache._remove(folder, folder / "artifacts" / "aaaa" / "manifest.json")


@pytest.mark.parametrize("text", ["30", "d", "-3d", "30 days", ""])
def test_what_is_no_length_of_time(text):
    with pytest.raises(ValueError, match="is no length of time; write 12h, 30d or 8w"):
        seconds(text)
