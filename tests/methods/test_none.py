"""The original goes to disk and back like any other variant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from methods import _files, artifact
from methods.none import Uncompressed

IDS = torch.randint(3, 96, (1, 24), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shard", ["5GB", "100KB"])
def test_same_logits_as_the_original(family: str, dtype: str, shard: str, tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source(family, tmp_path / "m", tied=family != "llama", shard=shard)
    result = Uncompressed().compress(source, None, tmp_path / "a")
    assert result.untouched == {}
    model = artifact.load(tmp_path / "a", dtype)
    original = replace(source, dtype=dtype).model()
    assert torch.equal(model(IDS).logits, original(IDS).logits)
    assert model.dtype == getattr(torch, dtype)
    footprint = artifact.weigh(tmp_path / "a")
    assert footprint.total == footprint.base_bytes
    assert footprint.bits_per_weight is None
    assert (footprint.head == 0) is (family != "llama")


def test_no_second_copy_where_the_disk_allows_it(tiny_source: Any, tmp_path: Path, monkeypatch: Any) -> None:
    source = tiny_source("llama", tmp_path / "m")
    linked = Uncompressed().compress(source, None, tmp_path / "a")
    original, stored = source.folder / "model.safetensors", tmp_path / "a/checkpoint/model.safetensors"
    assert stored.samefile(original)

    def refuse(*args: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(_files.os, "link", refuse)
    copied = Uncompressed().compress(source, None, tmp_path / "b")
    assert not (tmp_path / "b/checkpoint/model.safetensors").samefile(original)
    assert copied.digest == linked.digest


def test_an_original_changed_in_place_is_noticed(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    Uncompressed().compress(source, None, tmp_path / "a")
    with (source.folder / "model.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        byte = file.read(1)[0]
        file.seek(-3, 2)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(artifact.DamagedArtifact, match="do not match their digest"):
        artifact.load(tmp_path / "a")
