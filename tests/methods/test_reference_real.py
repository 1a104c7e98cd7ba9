"""The reference libraries themselves, each on a tiny model: what they store is read back as they read it.

Slow: every library is started in a process of its own. A library that is not installed is skipped with the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import methods
from methods import _libraries, artifact
from methods.base import Calibration, MissingLibrary

pytestmark = pytest.mark.slow

RUNS: list[tuple[str, dict[str, Any], float]] = [
    ("ref_llmcompressor", {"format": "gptq", "granularity": "group:64"}, 0.2),
    ("ref_llmcompressor", {"format": "awq", "granularity": "group:64"}, 0.2),
    ("ref_llmcompressor", {"format": "smoothquant_w8a8"}, 0.03),
    ("ref_llmcompressor", {"format": "sparsegpt", "pattern": "2:4"}, 0.8),
    ("ref_llmcompressor", {"format": "wanda", "pattern": "2:4"}, 0.8),
    ("ref_gptqmodel", {"format": "gptq", "granularity": "group:64"}, 0.2),
    ("ref_gptqmodel", {"format": "gptq", "granularity": "group:64", "bits": 3}, 0.4),
    ("ref_gptqmodel", {"format": "gptq", "granularity": "group:64", "symmetric": True, "act_order": True}, 0.2),
    ("ref_gptqmodel", {"format": "awq", "granularity": "group:64"}, 0.2),
    ("ref_hqq", {"bits": 2}, 0.6),
    ("ref_hqq", {"bits": 3}, 0.3),
    ("ref_hqq", {"bits": 4}, 0.15),
    ("ref_hqq", {"bits": 8}, 0.01),
    ("ref_quanto", {"format": "int2"}, 0.9),
    ("ref_quanto", {"format": "int4"}, 0.2),
    ("ref_quanto", {"format": "int8"}, 0.02),
    ("ref_quanto", {"format": "float8"}, 0.05),
    ("ref_torchao", {"bits": 4, "granularity": "group:64"}, 0.15),
    ("ref_torchao", {"bits": 8, "granularity": "row", "symmetric": True}, 0.02),
    ("ref_autoround", {"granularity": "group:64", "steps": 2}, 0.2),
    ("ref_autoawq", {"granularity": "group:64"}, 0.25),
    ("ref_autogptq", {"granularity": "group:64"}, 0.2),
]


@pytest.mark.parametrize(("method", "params", "most"), RUNS, ids=lambda value: str(value))
def test_weights_are_near_the_original_s(
    tiny_source: Any, tmp_path: Path, method: str, params: dict[str, Any], most: float
) -> None:
    try:
        _libraries.find(method)
    except MissingLibrary as missing:
        pytest.skip(str(missing))
    source = tiny_source("llama", tmp_path / "m", grouped=False)
    tokens = torch.randint(4, 96, (8, 64), generator=torch.Generator().manual_seed(0))
    calibration = Calibration(tokens, ("en",) * 8, {"en": 1.0}, "fingerprint")
    made = methods.load(method)(**params).compress(source, calibration, tmp_path / "a")
    model, original = artifact.load(tmp_path / "a"), source.model()
    layers = artifact.read_manifest(tmp_path / "a").layers
    assert len(layers) == 14
    plain = not {"awq", "smoothquant_w8a8"} & set(params.values()) and method != "ref_autoawq"
    for name in layers if plain else ():  # where scales move from layer to layer, weights alone tell nothing
        weight, read = original.get_submodule(name).weight, model.get_submodule(name).weight
        assert (read - weight).norm() / weight.norm() < most, name
    ids = tokens[:2, :32]
    off = (model(ids).logits - original(ids).logits).norm() / original(ids).logits.norm()
    assert 0 < off < (4 * most if not plain else 1.4)  # two unrelated outputs are the square root of 2 apart
    assert "its own work" in made.notes["library took"]


def test_autoawq_tries_every_scale_on_the_original_weights(tiny_source: Any, tmp_path: Path) -> None:
    """Unpatched, on a CPU, all scales that it tried stay multiplied into the weights."""
    try:
        _libraries.find("ref_autoawq")
    except MissingLibrary as missing:
        pytest.skip(str(missing))
    source = tiny_source("llama", tmp_path / "m", grouped=False)
    weights = load_file(source.folder / "model.safetensors")
    for name, gain in weights.items():
        if name.endswith("layernorm.weight"):  # inputs of many sizes, so that scales are far from 1
            gain.copy_(torch.logspace(-1, 1, len(gain)))
    save_file(weights, source.folder / "model.safetensors", {"format": "pt"})
    tokens = torch.randint(4, 96, (8, 64), generator=torch.Generator().manual_seed(0))
    calibration = Calibration(tokens, ("en",) * 8, {"en": 1.0}, "fingerprint")
    expected = source.model()(tokens).logits
    off = {}
    for method in ("ref_autoawq", "rtn"):
        made = methods.load(method)(granularity="group:64").compress(source, calibration, tmp_path / method)
        off[method] = (artifact.load(made.folder)(tokens).logits - expected).norm() / expected.norm()
    assert off["ref_autoawq"] < off["rtn"]
