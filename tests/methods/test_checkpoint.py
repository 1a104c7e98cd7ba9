"""Checkpoints of other programs: packed by hand here in each format, taken as they are, weighed, read back exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods import artifact
from methods._packs import unpack
from methods.artifact import DamagedArtifact
from methods.base import Source
from methods.checkpoint import Checkpoint

GROUP = 32


def words(codes: Tensor, bits: int) -> Tensor:
    """``(rows, n)`` codes -> int32: each row one stream of bits, written one bit at a time."""
    rows, count = codes.shape
    stream = ((codes.long()[:, :, None] >> torch.arange(bits)) & 1).reshape(rows, count * bits)
    each = stream.view(rows, -1, 32) << torch.arange(32)
    return each.sum(-1).to(torch.int32)


def affine(weight: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Some codes, scales and zeros ``(out, groups)`` of a weight; zeros take every value, 0 too."""
    rows, columns = weight.shape
    g = torch.Generator().manual_seed(columns)
    codes = torch.randint(0, 2**bits, (rows, columns), generator=g)
    zeros = torch.arange(rows * columns // GROUP).view(rows, -1) % 2**bits
    return codes, torch.rand(zeros.shape, generator=g).half() / 8, zeros


def expected(codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    spread = [t.float().repeat_interleave(GROUP, 1) for t in (scales, zeros)]
    return (codes.float() - spread[1]) * spread[0]


def gptq(weight: Tensor, bits: int, version: str = "gptq") -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)
    stored = zeros if version == "gptq_v2" else (zeros - 1) % 2**bits
    columns = weight.shape[1]
    tensors = {"qweight": words(codes.T.T, bits).T, "qzeros": words(stored.T, bits), "scales": scales.T}
    tensors["g_idx"] = (torch.arange(columns) // GROUP).to(torch.int32)
    return tensors, expected(codes, scales, zeros)


def awq(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)

    def nibbles(t: Tensor) -> Tensor:  # (n, out): nibble k of a word belongs to output 0 2 4 6 1 3 5 7 [k]
        return words(t.view(len(t), -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].reshape(len(t), -1), 4)

    return {"qweight": nibbles(codes.T), "qzeros": nibbles(zeros.T), "scales": scales.T}, expected(codes, scales, zeros)


def compressed(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)
    tensors = {"weight_packed": words(codes, bits), "weight_scale": scales, "weight_shape": torch.tensor(weight.shape)}
    tensors["weight_zero_point"] = words(zeros.T, bits).T
    return tensors, expected(codes, scales, zeros)


def bytes_(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    scale = weight.abs().amax(1, keepdim=True) / 127
    codes = (weight / scale).round().to(torch.int8)
    return {"weight": codes, "weight_scale": scale}, codes.float() * scale


def torchao(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)
    tensors = {"weight_qdata": (codes - 8).to(torch.int8), "weight_scale": scales}
    return {**tensors, "weight_zero_point": (zeros - 8).to(torch.int8)}, expected(codes, scales, zeros)


def hqq(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)
    rows = codes.view(-1, GROUP)
    if bits == 3:
        rows = torch.cat([rows, rows.new_zeros(-len(rows) % 10, GROUP)])
        packed = sum(part << (27 - 3 * k) for k, part in enumerate(rows.chunk(10))).to(torch.int32)  # type: ignore[union-attr]
    else:
        packed = (rows[: len(rows) // 2] << 4 | rows[len(rows) // 2 :]).to(torch.uint8)
    tensors = {"W_q": packed, "scale": scales.view(-1, 1), "zero": zeros.half().view(-1, 1)}
    return tensors, expected(codes, scales, zeros)


def quanto(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    codes, scales, zeros = affine(weight, bits)
    rows, scale = codes.view(-1, GROUP), scales.view(-1, 1)
    packed = (rows[: len(rows) // 2] | rows[len(rows) // 2 :] << 4).to(torch.uint8)
    tensors = {"weight._data._data": packed, "weight._scale": scale}
    return {**tensors, "weight._shift": zeros.view(-1, 1).float() * scale.float()}, expected(codes, scales, zeros)


def q4_0(weight: Tensor, bits: int) -> tuple[dict[str, Tensor], Tensor]:
    """llama.cpp's oldest type: of each 32 weights a float16 scale, then 16 bytes, the first half in the low nibbles."""
    codes, scales, _ = affine(weight, bits)
    blocks = codes.view(-1, GROUP)
    nibbles = (blocks[:, :16] | blocks[:, 16:] << 4).to(torch.uint8)
    stored = torch.cat([scales.view(-1, 1).view(torch.uint8), nibbles], 1)
    return {"Q4_0": stored.view(len(weight), -1)}, expected(codes, scales, torch.full_like(scales, 8))


FORMATS: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "gptq 2": (gptq, 2, {"quant_method": "gptq", "bits": 2, "group_size": GROUP}),
    "gptq 3": (gptq, 3, {"quant_method": "gptq", "bits": 3, "group_size": GROUP}),
    "gptq 4": (gptq, 4, {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "checkpoint_format": "gptq"}),
    "gptq 8": (gptq, 8, {"quant_method": "gptq", "bits": 8, "group_size": GROUP}),
    "gptq v2": (
        lambda weight, bits: gptq(weight, bits, "gptq_v2"),
        4,
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "checkpoint_format": "gptq_v2"},
    ),
    "auto-round": (gptq, 4, {"quant_method": "auto-round", "bits": 4, "group_size": GROUP}),
    "awq": (awq, 4, {"quant_method": "awq", "bits": 4, "version": "gemm"}),
    "compressed-tensors 4": (compressed, 4, {"quant_method": "compressed-tensors"}),
    "compressed-tensors 8": (compressed, 8, {"quant_method": "compressed-tensors"}),
    "compressed-tensors int8": (bytes_, 8, {"quant_method": "compressed-tensors"}),
    "torchao": (torchao, 4, {"quant_method": "torchao", "bits": 4}),
    "quanto": (quanto, 4, {"quant_method": "quanto", "weights": "int4"}),
    "gguf": (q4_0, 4, {"quant_method": "gguf"}),
    "hqq 4": (hqq, 4, {"quant_method": "hqq", "bits": 4, "group_size": GROUP, "axis": 1, "packing": "4bit_u8"}),
    "hqq 3": (hqq, 3, {"quant_method": "hqq", "bits": 3, "group_size": GROUP, "axis": 1, "packing": "3bit_32"}),
}


@pytest.fixture(scope="module")
def source(tiny_source: Any, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return tiny_source("qwen2", tmp_path_factory.mktemp("model"))  # it has biases


def packed(source: Source, folder: Path, format: str) -> dict[str, Tensor]:
    """A checkpoint of the model in a format; returns what its layers stand for."""
    pack, bits, config = FORMATS[format]
    folder.mkdir()
    tensors, stand_for = load_file(source.folder / "model.safetensors"), {}
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        stem = name.removesuffix(".weight")
        parts, stand_for[stem] = pack(tensors.pop(name), bits)
        tensors |= {f"{stem}.{part}": tensor for part, tensor in parts.items()}
    write(folder, tensors, source, config)
    return stand_for


def write(folder: Path, tensors: dict[str, Tensor], source: Source, config: dict[str, Any]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    text = json.dumps({**source.config, "rope_theta": 5.0, "quantization_config": config})
    (folder / "config.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_codes_come_out_of_a_stream_of_bits(bits: int) -> None:
    codes = torch.randint(0, 2**bits, (5, 64), generator=torch.Generator().manual_seed(bits))
    assert torch.equal(unpack(words(codes, bits), bits, 64), codes)


@pytest.mark.parametrize("format", FORMATS)
def test_a_checkpoint_is_read_back_exactly_and_weighed_as_it_is(source: Source, tmp_path: Path, format: str) -> None:
    stand_for = packed(source, tmp_path / "q", format)
    made = Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")
    model, original = artifact.load(tmp_path / "a"), source.model()
    for stem, weight in stand_for.items():
        assert torch.allclose(model.get_submodule(stem).weight, weight, atol=1e-6), stem
        if (bias := original.get_submodule(stem).bias) is not None:
            assert torch.equal(model.get_submodule(stem).bias, bias)
    assert torch.equal(model.get_input_embeddings().weight, original.get_input_embeddings().weight)
    assert set(made.untouched) == {"lm_head"}
    assert model.config.rope_parameters == original.config.rope_parameters  # the original's, not that of the folder
    footprint, stored = artifact.weigh(tmp_path / "a"), load_file(tmp_path / "q" / "model.safetensors")
    assert footprint.total == sum(tensor.nbytes for tensor in stored.values())
    assert footprint.quantized_weights == sum(weight.numel() for weight in stand_for.values())
    of_layers = {name: tensor for name, tensor in stored.items() if name.startswith(tuple(stand_for))}
    biases = sum(tensor.nbytes for name, tensor in of_layers.items() if name.endswith(".bias"))
    packed_bytes = sum(tensor.nbytes for tensor in of_layers.values())
    code_names = ("qweight", "weight_packed", "W_q", "weight_qdata", "_data", "weight", "Q4_0")
    assert footprint.codes == sum(t.nbytes for name, t in of_layers.items() if name.endswith(code_names))
    assert footprint.codes + footprint.scales + footprint.side == packed_bytes - biases


def test_pruned_weights_are_dense_layers(source: Source, tmp_path: Path) -> None:
    tensors = load_file(source.folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj"
    tensors[f"{name}.weight"][:, ::2] = 0
    (tmp_path / "q").mkdir()
    write(tmp_path / "q", tensors, source, {})
    made = Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")
    assert artifact.read_manifest(tmp_path / "a").layers.keys() == {name}
    assert len(made.untouched) == 14  # 13 linears and the head
    assert torch.equal(artifact.load(tmp_path / "a").get_parameter(f"{name}.weight"), tensors[f"{name}.weight"])
    assert artifact.weigh(tmp_path / "a").bits_per_weight == 32


UP = "model.layers.0.mlp.up_proj"


def test_biases_of_zeros_that_the_original_lacks_are_weighed_and_left_out(source: Source, tmp_path: Path) -> None:
    """auto-gptq gives every layer one."""
    packed(source, tmp_path / "q", "gptq 4")
    tensors = load_file(tmp_path / "q" / "model.safetensors") | {f"{UP}.bias": torch.zeros(128)}
    write(tmp_path / "q", tensors, source, FORMATS["gptq 4"][2])
    Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")
    assert artifact.load(tmp_path / "a").get_submodule(UP).bias is None
    assert artifact.weigh(tmp_path / "a").total == sum(tensor.nbytes for tensor in tensors.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.norm.weight"), "it holds nothing for model.norm.weight"),
        (lambda t: t.pop(f"{UP}.scales"), rf"it holds nothing for {UP}.weight"),
        (lambda t: t.update({"model.strange": torch.ones(2)}), "it holds model.strange, which that does not have"),
        (lambda t: t.update({f"{UP}.bias": torch.ones(128)}), f"{UP} has a bias, which that does not have"),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(3)}),
            r"model.norm.weight has the shape \(3,\), not \(64,\)",
        ),
        (
            lambda t: t.update({f"{UP}.qweight": t[f"{UP}.qweight"][:, :64]}),
            rf"{UP} is packed as \(64, 64\), not \(128, 64\)",
        ),
        (
            lambda t: t.update({f"{UP}.qweight": t[f"{UP}.qweight"][:4]}),
            rf"does not match its config at {UP}: .*4 rows",
        ),
    ],
)
def test_what_does_not_fit_is_named(source: Source, tmp_path: Path, change: Any, said: str) -> None:
    packed(source, tmp_path / "q", "gptq 4")
    tensors = load_file(tmp_path / "q" / "model.safetensors")
    change(tensors)
    write(tmp_path / "q", tensors, source, FORMATS["gptq 4"][2])
    with pytest.raises(ValueError, match=said):
        Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")


def test_an_unknown_format_is_refused_by_name(source: Source, tmp_path: Path) -> None:
    packed(source, tmp_path / "q", "gptq 4")
    tensors = load_file(tmp_path / "q" / "model.safetensors")
    write(tmp_path / "q", tensors, source, {"quant_method": "aqlm"})
    with pytest.raises(ValueError, match=r"is quantized by 'aqlm', which cannot be read; allowed are auto-round, awq,"):
        Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")


@pytest.mark.parametrize("path", ["", "nowhere"])
def test_a_folder_that_is_none_is_refused(source: Source, tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match=rf"path='{path}': it has to be a transformers folder"):
        Checkpoint(path).compress(source, None, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_byte_changed_afterwards_is_noticed(source: Source, tmp_path: Path) -> None:
    packed(source, tmp_path / "q", "gptq 4")
    Checkpoint(str(tmp_path / "q")).compress(source, None, tmp_path / "a")
    file = tmp_path / "a" / "checkpoint" / "model.safetensors"
    tensors = load_file(file)
    tensors[f"{UP}.qweight"][0, 0] += 1
    shutil.copy(file, tmp_path / "copy")
    file.unlink()
    save_file(tensors, file)
    with pytest.raises(DamagedArtifact, match=rf"{UP}.qweight do not match their digest"):
        artifact.load(tmp_path / "a")
