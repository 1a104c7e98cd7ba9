"""Quantized layers as other libraries store them, and the weights that they stand for, by arithmetic of our own.

A *pack* is named in a layer's spec as its ``kind``. ``describe`` looks at a layer's tensors (suffix -> tensor) and
gives the spec, or None where it is no such layer; ``dequantize`` gives float32 ``(out, in)``. Bits stand in a word
from its lowest upwards unless said otherwise. Every formula was compared with the library's own dequantization;
llama.cpp's types are left to its package ``gguf``.

    gptq                 qweight int32 (in * b / 32, out), codes along a column as one stream of bits; qzeros the
                         same along rows, holding zero - 1 (``gptq_v2``: zero); g_idx: the group of each input
    awq                  qweight int32 (in, out * 4 / 32): the nibbles of a word belong to outputs 0 2 4 6 1 3 5 7
    compressed-tensors   weight_packed int32 (out, in * b / 32), code - 2^(b-1); or ``weight`` in int8 or float8
    torchao              weight_qdata int8 (out, in): a byte for a code of any width
    hqq                  W_q: codes (groups, group) cut into as many parts of rows as a word holds, the first topmost
    quanto               weight._data._data: codes (groups, group) cut likewise, the first lowest; code * scale - shift
    gguf                 Q4_K, Q6_K ...: bytes (out, blocks of a row times their size), blocks of llama.cpp's type
    dense                nothing packed: a weight that was pruned, or rounded in place
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Spec = dict[str, Any]
Tensors = Mapping[str, Tensor]
HQQ_PARTS = {"8bit_u8": 1, "4bit_u8": 2, "2bit_u8": 4, "3bit_32": 10}
"""HQQ's packing -> codes in a word; the first is the topmost."""
GGUF_TYPES = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0", "MXFP4"),
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
)
"""llama.cpp's quantized types that the package ``gguf`` dequantizes; a tensor of one is named after it."""
GGUF_PIECE = 8 * 1024**2
"""So many weights are dequantized at once: numpy holds several float32 copies of them."""
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True)
class Pack:
    describe: Callable[[Mapping[str, Any], Tensors], Spec | None]
    dequantize: Callable[[Spec, Tensors], Tensor]
    parts: Mapping[str, str]
    """Suffix of a stored tensor -> the part of the footprint it is weighed in; any other is ``side``."""


def unpack(words: Tensor, bits: int, count: int) -> Tensor:
    """int32 ``(rows, words)`` -> int64 ``(rows, count)``: each row one stream of ``bits``-bit codes."""
    stream = torch.arange(count, device=words.device) * bits
    wide = torch.nn.functional.pad(words.long() & 0xFFFFFFFF, (0, 1))
    first = stream // 32
    pair = wide[:, first] | (wide[:, first + 1] << 32)  # wraps past 2^63: only the low bits are read
    return (pair >> (stream % 32)) & (2**bits - 1)


def _shape(spec: Mapping[str, Any]) -> tuple[int, int]:
    return spec["out_features"], spec["in_features"]


def _describe_gptq(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if not {"qweight", "qzeros", "scales", "g_idx"} <= tensors.keys():
        return None
    bits, rows = config["bits"], len(tensors["g_idx"])
    version = "gptq_v2" if "gptq_v2" in str(config.get("checkpoint_format", config.get("format"))) else "gptq"
    size = {"in_features": rows, "out_features": tensors["qweight"].shape[1], "bits": bits}
    if tensors["qweight"].shape[0] != rows * bits // 32:
        raise ValueError(f"qweight has {tensors['qweight'].shape[0]} rows, not {rows * bits // 32} for {bits} bits")
    return {"kind": "gptq", **size, "group": config["group_size"], "format": version}


def _dequantize_gptq(spec: Spec, tensors: Tensors) -> Tensor:
    (rows, columns), bits = _shape(spec), spec["bits"]
    codes = unpack(tensors["qweight"].T.contiguous(), bits, columns)
    zeros = unpack(tensors["qzeros"], bits, rows)
    if spec["format"] == "gptq":
        zeros = (zeros + 1) & (2**bits - 1)  # no zero is 2^b: all ones stand for 0 - 1
    index = tensors["g_idx"].long()
    return (codes - zeros.T[:, index]).float() * tensors["scales"].float().T[:, index]


def _describe_awq(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if not {"qweight", "qzeros", "scales"} <= tensors.keys() or "g_idx" in tensors:
        return None
    version = str(config.get("version", config.get("format", "gemm"))).lower()
    bits = config.get("bits", config.get("w_bit", 4))
    if version != "gemm" or bits != 4:
        raise ValueError(f"AWQ layers in version {version!r} at {bits} bits cannot be read; 'gemm' at 4 bits can")
    rows, words = tensors["qweight"].shape
    group = rows // tensors["scales"].shape[0]
    return {"kind": "awq", "in_features": rows, "out_features": words * 8, "bits": 4, "group": group}


def _awq_nibbles(words: Tensor) -> Tensor:
    """int32 ``(n, words)`` -> int64 ``(n, 8 words)``."""
    nibbles = unpack(words, 4, words.shape[1] * 8).view(len(words), -1, 8)
    ordered = torch.empty_like(nibbles)
    ordered[:, :, list(AWQ_ORDER)] = nibbles
    return ordered.view(len(words), -1)


def _dequantize_awq(spec: Spec, tensors: Tensors) -> Tensor:
    codes, zeros = _awq_nibbles(tensors["qweight"]), _awq_nibbles(tensors["qzeros"])
    scales, group = tensors["scales"].float(), spec["group"]
    values = (codes - zeros.repeat_interleave(group, 0)).float() * scales.repeat_interleave(group, 0)
    return values.T.contiguous()


def _describe_compressed(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if "weight_packed" in tensors and "weight_shape" in tensors:
        rows, columns = tensors["weight_shape"].tolist()
        width = tensors["weight_packed"].shape[1]
        bits = next((b for b in (2, 3, 4, 8) if -(-columns // (32 // b)) == width), None)
        if bits is None or tensors["weight_packed"].shape[0] != rows:
            raise ValueError(f"weight_packed {list(tensors['weight_packed'].shape)} does not fit ({rows}, {columns})")
        group = columns // tensors["weight_scale"].shape[1]
        size = {"in_features": columns, "out_features": rows, "bits": bits, "group": group}
        return {"kind": "compressed-tensors", **size, "packed": True}
    if "weight" in tensors and "weight_scale" in tensors and tensors["weight"].itemsize == 1:
        rows, columns = tensors["weight"].shape
        group = columns // max(1, tensors["weight_scale"].shape[-1] if tensors["weight_scale"].dim() else 1)
        size = {"in_features": columns, "out_features": rows, "bits": 8, "group": group}
        return {"kind": "compressed-tensors", **size, "packed": False}
    return None


def _dequantize_compressed(spec: Spec, tensors: Tensors) -> Tensor:
    (rows, columns), bits, scale = _shape(spec), spec["bits"], tensors["weight_scale"].float()
    if not spec["packed"]:
        codes, zero = tensors["weight"].float(), tensors.get("weight_zero_point")
        return _by_group(codes, scale, zero.float() if zero is not None else None, spec["group"])
    per_word = 32 // bits
    shifts = torch.arange(per_word, device=scale.device) * bits
    mask, middle = 2**bits - 1, 2 ** (bits - 1)

    def codes_of(words: Tensor, count: int) -> Tensor:
        parts = (words.long().unsqueeze(-1) >> shifts) & mask
        return parts.flatten(1)[:, :count].float() - middle

    codes, stored = codes_of(tensors["weight_packed"], columns), tensors.get("weight_zero_point")
    zero = (
        None if stored is None else codes_of(stored.T.contiguous(), rows).T if stored.dtype == torch.int32 else stored
    )
    if (index := tensors.get("weight_g_idx")) is not None:
        index = index.long()
        return (codes - (0 if zero is None else zero[:, index])) * scale[:, index]
    return _by_group(codes, scale, zero, spec["group"])


def _by_group(codes: Tensor, scale: Tensor, zero: Tensor | None, group: int) -> Tensor:
    """``(codes - zero) * scale`` with a scale for each ``group`` columns of a row, or one for all."""
    if scale.numel() == 1:
        return (codes - (0 if zero is None else zero)) * scale
    grouped = codes.view(len(codes), -1, group)
    if zero is not None:
        grouped = grouped - zero.float().unsqueeze(-1)
    return (grouped * scale.unsqueeze(-1)).view(codes.shape)


def _describe_torchao(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if not {"weight_qdata", "weight_scale"} <= tensors.keys():
        return None
    rows, columns = tensors["weight_qdata"].shape
    group = columns // tensors["weight_scale"].shape[-1]
    return {"kind": "torchao", "in_features": columns, "out_features": rows, "bits": config["bits"], "group": group}


def _dequantize_torchao(spec: Spec, tensors: Tensors) -> Tensor:
    codes, zero = tensors["weight_qdata"].float(), tensors.get("weight_zero_point")
    return _by_group(codes, tensors["weight_scale"].float(), zero, spec["group"])


def _describe_hqq(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if not {"W_q", "scale", "zero"} <= tensors.keys():
        return None
    bits, group, packing = config["bits"], config["group_size"], config["packing"]
    if packing not in HQQ_PARTS or config.get("axis") != 1:
        raise ValueError(f"HQQ layers packed as {packing!r} on axis {config.get('axis')!r} cannot be read")
    groups = tensors["scale"].numel()
    return {"kind": "hqq", "bits": bits, "group": group, "packing": packing, "groups": groups}


def _dequantize_hqq(spec: Spec, tensors: Tensors) -> Tensor:
    words, bits, count = tensors["W_q"].long(), spec["bits"], HQQ_PARTS[spec["packing"]]
    parts = [(words >> (bits * (count - 1 - part))) & (2**bits - 1) for part in range(count)]
    codes = torch.cat(parts)[: spec["groups"]].float()  # what fills the last word is cut off
    scale, zero = tensors["scale"].float().view(-1, 1), tensors["zero"].float().view(-1, 1)
    return ((codes - zero) * scale).view(_shape(spec))


def _describe_quanto(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    if "weight._scale" not in tensors:
        return None
    bits = {"int2": 2, "int4": 4, "int8": 8, "float8": 8}[config["weights"]]
    return {"kind": "quanto", "bits": bits, "groups": tensors["weight._scale"].numel()}


def _dequantize_quanto(spec: Spec, tensors: Tensors) -> Tensor:
    scale, shift, bits = tensors["weight._scale"].float(), tensors.get("weight._shift"), spec["bits"]
    if (packed := tensors.get("weight._data._data")) is None:
        return (tensors["weight._data"].float() * scale).view(_shape(spec))
    codes = torch.cat([(packed >> part) & (2**bits - 1) for part in range(0, 8, bits)])[: spec["groups"]].float()
    if shift is not None and not shift.is_floating_point():
        return ((codes - shift.float()) * scale).view(_shape(spec))
    return (codes * scale - (0 if shift is None else shift.float())).view(_shape(spec))


def _describe_gguf(config: Mapping[str, Any], tensors: Tensors) -> Spec | None:
    import gguf

    kind = next((suffix for suffix in tensors if suffix in GGUF_TYPES), None)
    if kind is None:
        return None
    weights, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    rows, row_bytes = tensors[kind].shape
    return {"kind": "gguf", "in_features": row_bytes // width * weights, "out_features": rows, "type": kind}


def _dequantize_gguf(spec: Spec, tensors: Tensors) -> Tensor:
    import gguf

    stored, kind = tensors[spec["type"]].cpu(), gguf.GGMLQuantizationType[spec["type"]]
    weight = torch.empty(_shape(spec))
    step = max(1, GGUF_PIECE // spec["in_features"])
    for first in range(0, len(stored), step):
        weight[first : first + step] = torch.from_numpy(gguf.dequantize(stored[first : first + step].numpy(), kind))
    return weight.to(tensors[spec["type"]].device)


def _dense(spec: Spec, tensors: Tensors) -> Tensor:
    return tensors["weight"].float()


PACKS: Mapping[str, Pack] = {
    "gptq": Pack(
        _describe_gptq,
        _dequantize_gptq,
        {"qweight": "codes", "qzeros": "scales", "scales": "scales", "bias": "rest"},
    ),
    "awq": Pack(
        _describe_awq,
        _dequantize_awq,
        {"qweight": "codes", "qzeros": "scales", "scales": "scales", "bias": "rest"},
    ),
    "compressed-tensors": Pack(
        _describe_compressed,
        _dequantize_compressed,
        {
            "weight_packed": "codes",
            "weight": "codes",
            "weight_scale": "scales",
            "weight_zero_point": "scales",
            "bias": "rest",
        },
    ),
    "torchao": Pack(
        _describe_torchao,
        _dequantize_torchao,
        {"weight_qdata": "codes", "weight_scale": "scales", "weight_zero_point": "scales", "bias": "rest"},
    ),
    "hqq": Pack(_describe_hqq, _dequantize_hqq, {"W_q": "codes", "scale": "scales", "zero": "scales", "bias": "rest"}),
    "quanto": Pack(
        _describe_quanto,
        _dequantize_quanto,
        {
            "weight._data": "codes",
            "weight._data._data": "codes",
            "weight._scale": "scales",
            "weight._shift": "scales",
            "bias": "rest",
        },
    ),
    "gguf": Pack(_describe_gguf, _dequantize_gguf, {**dict.fromkeys(GGUF_TYPES, "codes"), "bias": "rest"}),
    "dense": Pack(lambda config, tensors: None, _dense, {"weight": "codes", "bias": "rest"}),
}
