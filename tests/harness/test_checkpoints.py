"""A checkpoint in a sweep is known by its content."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints import pinned
from harness.config import parse_config
from harness.problems import UserError
from harness.specs import SweepConfig


def sweep(**params: Any) -> SweepConfig:
    method = [{"name": "none"}, {"name": "checkpoint", **params}]
    return parse_config({"method": method, "task": [{"name": "footprint"}]}, "here")


def test_a_folder_is_pinned_by_path_and_digest(tiny_folder: Any, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(tiny_folder(), tmp_path / "q")
    monkeypatch.chdir(tmp_path)
    first = pinned(sweep(path="q"), tmp_path / "cache").methods
    assert first[0].name == "none"
    assert first[1].params["path"] == str(tmp_path / "q")
    assert len(str(first[1].params["digest"])) == 12
    assert pinned(sweep(**first[1].params), tmp_path / "cache").methods == first
    config = tmp_path / "q" / "config.json"
    config.write_text(config.read_text().replace('"float32"', '"float16"'))
    assert pinned(sweep(path="q"), tmp_path / "cache").methods[1] != first[1]
    with pytest.raises(UserError, match=r"has the digest \w{12}, not \w{12}: its files are others by now"):
        pinned(sweep(**first[1].params), tmp_path / "cache")


@pytest.mark.parametrize("path", ["", "nowhere"])
def test_a_folder_that_is_none_is_refused_with_the_way_to_write_it(tmp_path: Path, path: str) -> None:
    said = rf"path='{path}' is no folder with a config.json and no GGUF file; .*'checkpoint:path=models/"
    with pytest.raises(UserError, match=said):
        pinned(sweep(path=path), tmp_path)


def test_a_file_cut_short_is_named(tiny_folder: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder(), tmp_path / "q")
    weights = tmp_path / "q" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"q' is damaged: .*model.safetensors is cut short"):
        pinned(sweep(path=str(tmp_path / "q")), tmp_path / "cache")
