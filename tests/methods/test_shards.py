"""Reading a checkpoint tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from methods._shards import EMBEDDING, HEAD, Shards, require_finite


@pytest.mark.parametrize("shard", ["5GB", "100KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_same_tensors_from_one_file_or_many(tiny_source: Any, tmp_path: Path, shard: str, tied: bool) -> None:
    source = tiny_source("llama", tmp_path / "m", tied=tied, shard=shard)
    shards = Shards(source.folder)
    expected = source.model().state_dict()
    assert len(list(source.folder.glob("*.safetensors"))) == (
        1 if shard == "5GB" else len(set(map(shards.file, shards)))
    )
    assert shards.tied is tied
    assert set(shards.names()) == set(expected) - ({HEAD} if tied else set())
    for name, tensor in expected.items():
        assert torch.equal(shards[name], tensor), name
    assert shards.dtype == "float32"
    with pytest.raises(KeyError):
        shards["model.nothing"]


def test_a_head_stored_twice_counts_once(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("gemma2", tmp_path / "m", tied=True)
    path = source.folder / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {HEAD: tensors[EMBEDDING].clone()}, path, {"format": "pt"})
    assert HEAD not in Shards(source.folder).names()
    save_file(tensors | {HEAD: tensors[EMBEDDING] + 1}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=f"tie_word_embeddings, but {HEAD} and {EMBEDDING} differ"):
        Shards(source.folder)


def test_a_config_that_does_not_say_takes_the_architectures_word(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("gemma2", tmp_path / "m", tied=True)
    path = source.folder / "config.json"
    config = json.loads(path.read_text())
    del config["tie_word_embeddings"]
    path.write_text(json.dumps(config))
    assert Shards(source.folder).tied


def test_an_incomplete_checkpoint_is_named(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m", shard="100KB")
    gone = sorted(source.folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ValueError, match=f"not a complete checkpoint: missing {gone.name}"):
        Shards(source.folder)
    for path in source.folder.glob("model*"):
        path.unlink()
    with pytest.raises(ValueError, match="holds no safetensors file"):
        Shards(source.folder)


def test_finite_or_refused_by_name() -> None:
    tensor = torch.ones(4, 4)
    assert require_finite("a.weight", tensor) is tensor
    tensor[0, 0], tensor[1, 1], tensor[2, 2] = float("nan"), float("inf"), float("-inf")
    with pytest.raises(
        ValueError, match=r"a\.weight holds 3 values that are not finite \(1 NaN, 2 infinite\) out of 16"
    ):
        require_finite("a.weight", tensor)
