"""bitsandbytes through its own checkpoint: every number from what was stored."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from methods import artifact, ref_bitsandbytes
from methods.base import MissingLibrary
from methods.ref_bitsandbytes import FORMATS, BitsAndBytes

IDS = torch.randint(3, 96, (2, 24), generator=torch.Generator().manual_seed(1))
installed = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes not installed")


@installed
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("family", ["qwen2", "gemma3_text"])
def test_reloaded_weights_are_the_librarys_own(format: str, family: str, tiny_source: Any, tmp_path: Path) -> None:
    from bitsandbytes import functional

    source = tiny_source(family, tmp_path / "m", tied=family == "gemma3_text")
    steps: list[tuple[int, int]] = []
    result = BitsAndBytes(format).compress(
        source, None, tmp_path / "a", lambda what, done, total: steps.append((done, total))
    )
    assert steps == [(k, 15) for k in range(1, 16)]
    assert result.untouched == ({} if family == "gemma3_text" else {"lm_head": "bitsandbytes leaves the head as it is"})
    model, original = artifact.load(tmp_path / "a"), source.model()
    layers = artifact.read_manifest(tmp_path / "a").layers
    assert len(layers) == 14
    for name in layers:
        weight = original.get_submodule(name).weight.data
        if format == "int8":
            codes, scale, _ = functional.int8_vectorwise_quant(weight.half())
            expected = functional.int8_vectorwise_dequant(codes, scale)
        else:
            codes, state = functional.quantize_4bit(
                weight, quant_type=format.removesuffix("_double"), compress_statistics=format == "nf4_double"
            )
            expected = functional.dequantize_4bit(codes, state)
        module = model.get_submodule(name)
        assert type(module) is torch.nn.Linear
        assert torch.equal(module.weight, expected), name
        if module.bias is not None:
            assert torch.equal(module.bias, original.get_submodule(name).bias)
    error = (model(IDS).logits - original(IDS).logits).abs().mean()
    assert 0.001 < error < (0.1 if format == "int8" else 1.0)


@installed
def test_weighed_by_its_own_tensors(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    BitsAndBytes("nf4").compress(source, None, tmp_path / "a")
    footprint = artifact.weigh(tmp_path / "a")
    assert footprint.quantized_weights == 73728
    assert footprint.codes == 73728 // 2
    assert footprint.scales == 73728 // 64 * 4  # a float32 for every 64 weights
    assert footprint.side > 0  # a table of 16 values and a state for each layer
    assert footprint.head == footprint.embeddings == 96 * 64 * 4
    assert footprint.total < footprint.file_bytes


@installed
def test_double_quantized_scales_cost_the_published_0_127_bits(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    BitsAndBytes("nf4_double").compress(source, None, tmp_path / "a")
    footprint = artifact.weigh(tmp_path / "a")
    layers = artifact.read_manifest(tmp_path / "a").layers.values()
    blocks = [spec["in_features"] * spec["out_features"] // 64 for spec in layers]
    second = sum(-(-n // 256) for n in blocks)  # a float32 for every 256 scales begun
    assert footprint.scales == sum(blocks) + 4 * second  # a byte for every 64 weights
    # QLoRA's figure is for layers that fill their blocks of 256 scales: 4 + 8/64 + 32/(64 256) bits.
    whole = sum(blocks) / 256
    bits = 8 * (footprint.codes + footprint.scales - 4 * (second - whole)) / footprint.quantized_weights
    assert bits == pytest.approx(4.127, abs=5e-4)


@installed
def test_the_loaded_model_is_an_ordinary_one(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    BitsAndBytes("nf4").compress(source, None, tmp_path / "a")
    model = artifact.load(tmp_path / "a", "bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not hasattr(model.config, "quantization_config")
    model.to(torch.float32).save_pretrained(tmp_path / "plain")


def test_without_the_library_the_command_is_named(tiny_source: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(ref_bitsandbytes.importlib.util, "find_spec", lambda name: None)
    source = tiny_source("llama", tmp_path / "m")
    with pytest.raises(MissingLibrary, match=r"pip install 'langgap\[bitsandbytes\]'"):
        BitsAndBytes().compress(source, None, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format='nf8': allowed are nf4, nf4_double, fp4, int8"):
        BitsAndBytes("nf8")
