"""An artifact on a uniform grid as a compressed-tensors checkpoint (``pack-quantized``), which stays small.

transformers loads it where the library compressed-tensors is installed, and so do inference servers whose kernels take
its bits. Our codes are its codes: both are a little-endian stream of bits per row, and its int32 words are ours with
each row filled up to four bytes. Zeros are packed likewise, along the output channels of each group::

    weight_packed      int32 (out, ceil(in bits / 32))        weight_scale   as stored, (out, groups)
    weight_zero_point  int32 (ceil(out bits / 32), groups)    weight_shape   int64 (2,): out, in

Scales and folded norms (Gemma's among them) are written in the type the artifact keeps them in, the rest in ``dtype``;
a program that loads everything in one type rounds them to it. Kept neurons have no place in the format: their quantized
image is written, and ``_export_lora`` makes the adapter that restores them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from methods._files import copy_companions, write_tensors, write_text
from methods._kept import KeptLinear
from methods._kinds import KINDS
from methods._linear import AffineLinear
from methods._manifest import Manifest, check_files, read_manifest, read_tensors
from methods._packing import pack
from methods._shards import HEAD, INDEX
from methods._stored import dtype_name

OURS = ("manifest.json", "recipe.json", "notes.json", "search.json", "kept.json")
"""Files of an artifact that mean nothing to another program."""

CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- langgap
- compressed-tensors
- {method}
---

# A model after {method}

Quantized weights in the compressed-tensors format ({what}), {size} MB. It needs `pip install compressed-tensors`; 3-bit
words are packed as versions from 0.19 read them. Scales are {scales}. Loaded in another type, they are rounded to it.
{kept}
| | |
| --- | --- |
| Method | `{method}` |
| Parameters | `{params}` |
| Artifact digest | `{digest}` |

MB are decimal. The licence is that of the original model.
"""
KEPT = """
**Kept neurons are not in it**: this is the quantized image under them{carved}. `langgap export ARTIFACT --format
peft-lora` writes the adapter that restores them.
"""


def export_compressed_tensors(folder: Path, out: Path, dtype: str = "bfloat16") -> Path:
    """Write the artifact as a compressed-tensors checkpoint with ``README.md``; returns ``out``.

    Raises ValueError for an artifact whose layers are not all on one uniform grid, and when ``out`` holds files.
    """
    require_empty(out)
    manifest, layers, tensors = open_affine(folder)
    scheme = _scheme(folder, layers)
    files = sorted({entry["file"] for entry in manifest.tensors.values()})
    weight_map: dict[str, str] = {}
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, file in enumerate(files, 1):
        shard = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        made: dict[str, Tensor] = {}
        for name, layer in layers.items():
            if manifest.tensors[f"{name}.codes"]["file"] == file:
                made |= {f"{name}.{part}": tensor for part, tensor in packed(layer, dtype).items()}
        for name, tensor in tensors.items():
            if manifest.tensors[name]["file"] == file:
                keep = name in manifest.keep_float32 or not tensor.is_floating_point()
                made[name] = tensor if keep else tensor.to(getattr(torch, dtype))
        write_tensors(out / shard, made, {"format": "pt"})
        weight_map |= dict.fromkeys(made, shard)
        total += sum(tensor.nbytes for tensor in made.values())
    write_text(out / INDEX, json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1) + "\n")
    _write_companions(folder, out, manifest, scheme, dtype)
    write_text(out / "README.md", _card(manifest, layers, scheme, total))
    return out


def packed(layer: AffineLinear, dtype: str) -> dict[str, Tensor]:
    """The layer's image as the format's tensors, by their names in it."""
    codes, scale, zero = layer.affine()
    tensors = {
        "weight_packed": words(codes, layer.bits),
        "weight_scale": scale.contiguous(),
        "weight_shape": torch.tensor([layer.out_features, layer.in_features]),
    }
    if not layer.symmetric:
        tensors["weight_zero_point"] = words(zero.T.contiguous(), layer.bits).T.contiguous()
    if layer.bias is not None:
        tensors["bias"] = layer.bias.to(getattr(torch, dtype))
    return tensors


def words(codes: Tensor, bits: int) -> Tensor:
    """uint8 ``(rows, columns)`` below ``2**bits`` -> int32 ``(rows, ceil(columns bits / 32))``."""
    rows = pack(codes, bits)
    return pad(rows, (0, -rows.shape[1] % 4)).view(torch.int32)


def open_affine(folder: Path) -> tuple[Manifest, dict[str, AffineLinear], dict[str, Tensor]]:
    """An artifact, verified: its layers on a uniform grid by name, and all other tensors.

    Raises ValueError where it has none, or layers of another kind.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    other = {spec["kind"] for spec in manifest.layers.values()} - {AffineLinear.KIND, KeptLinear.KIND}
    if manifest.format != "blocks" or other or not manifest.layers:
        kinds = other and manifest.format == "blocks"
        held = f"layers of the kind {min(other)!r}" if kinds else "no packed layers of ours"
        raise ValueError(
            f"{folder} was made by {manifest.method} and holds {held}: only weights on a uniform grid can be exported "
            "so (rtn, awq, lape_awq and the like). Export it with --format plain."
        )
    tensors = read_tensors(folder, manifest, verify=True)
    layers: dict[str, AffineLinear] = {}
    for name, spec in manifest.layers.items():
        with torch.device("meta"):
            layers[name] = KINDS[spec["kind"]].from_spec(spec)
        state = {buffer: tensors.pop(f"{name}.{buffer}") for buffer in layers[name].state_dict()}
        layers[name].load_state_dict(state, assign=True)
    return manifest, layers, tensors


def require_empty(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty. Name a new folder to export to, or empty this one first.")


def _scheme(folder: Path, layers: dict[str, AffineLinear]) -> dict[str, Any]:
    """How the weights of every layer are quantized, in the format's words."""
    grids = {(layer.bits, layer.group, layer.symmetric) for layer in layers.values()}
    if len(grids) > 1:
        raise ValueError(f"{folder} mixes {len(grids)} grids; this export writes one. Export it with --format plain.")
    bits, group, symmetric = grids.pop()
    return {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "group" if group else "channel",
        "group_size": group,
        "dynamic": False,
    }


def _write_companions(folder: Path, out: Path, manifest: Manifest, scheme: dict[str, Any], dtype: str) -> None:
    copy_companions(folder, out)
    for name in OURS:
        (out / name).unlink(missing_ok=True)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = dtype
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": scheme, "format": "pack-quantized"}},
        "ignore": sorted({HEAD.removesuffix(".weight"), *manifest.untouched}),
    }
    write_text(out / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _card(manifest: Manifest, layers: dict[str, AffineLinear], scheme: dict[str, Any], size: int) -> str:
    kept = [layer for layer in layers.values() if isinstance(layer, KeptLinear)]
    carved = ", and holds zeros there, so that it is of no use without" if any(k.carved for k in kept) else ""
    grain = f"groups of {scheme['group_size']}" if scheme["group_size"] else "one group per row"
    what = f"pack-quantized, {scheme['num_bits']} bits, {grain}, {'' if scheme['symmetric'] else 'a'}symmetric"
    return CARD.format(
        method=manifest.method,
        what=what,
        size=f"{size / 1e6:,.1f}",
        scales=" and ".join(sorted({dtype_name(layer.scale.dtype) for layer in layers.values()})),
        kept=KEPT.format(carved=carved) if kept else "",
        params=", ".join(f"{name}={json.dumps(value)}" for name, value in manifest.params.items()),
        digest=manifest.digest,
    )
