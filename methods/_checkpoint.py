"""Quantized checkpoints of other libraries as artifacts: held to their original tensor by tensor, and read back.

A checkpoint keeps its own tensors, and these are what is weighed. Its ``config.json`` becomes the original's with the
library's ``quantization_config``: what the model is does not change by compressing it, and an old release of
transformers writes what a new one reads wrongly.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from methods._files import copy_companions, write_text
from methods._packs import PACKS, Spec
from methods._shards import EMBEDDING, HEAD, Shards, shard_files

METHODS: Mapping[str, str] = {
    "gptq": "gptq",
    "awq": "awq",
    "compressed-tensors": "compressed-tensors",
    "auto-round": "gptq",
    "hqq": "hqq",
    "quanto": "quanto",
    "torchao": "torchao",
    "gguf": "gguf",
}
"""``quant_method`` of a config -> the pack its layers are in. bitsandbytes is read by that library itself."""


class Adopted(NamedTuple):
    layers: dict[str, Spec]
    """Compressed layer -> what reads it back."""
    untouched: dict[str, str]


def quantization_of(folder: Path) -> dict[str, Any]:
    """The ``quantization_config`` of a checkpoint, empty where it has none. ValueError for a damaged config."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config.get("quantization_config") or config.get("compression_config") or {})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None


def dress(folder: Path, original: Path, quantization: Mapping[str, Any]) -> None:
    """Give a checkpoint the original's config, with how it is quantized, and the original's tokenizer."""
    copy_companions(original, folder)
    config = json.loads((original / "config.json").read_text(encoding="utf-8"))
    if quantization:
        config["quantization_config"] = dict(quantization)
    write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def adopt(folder: Path, base: Shards, who: str) -> Adopted:
    """Find a place for every tensor of the checkpoint in ``folder``, and a tensor for every one of the original.

    ``who`` left untouched what is as it was. Raises ValueError for what does not fit, naming file and tensor.
    """
    quantization = quantization_of(folder)
    named = str(quantization.get("quant_method", ""))
    if quantization and named not in (*METHODS, "bitsandbytes"):
        raise ValueError(
            f"{folder} is quantized by {named!r}, which cannot be read; allowed are "
            f"{', '.join(sorted((*METHODS, 'bitsandbytes')))}."
        )
    stored = {name: tensor for path in shard_files(folder) for name, tensor in _tensors(path).items()}
    inside: dict[str, dict[str, Tensor]] = defaultdict(dict)
    names = set(base.names())
    stems = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
    for name, tensor in stored.items():
        stem = name
        while (stem := stem.rpartition(".")[0]) and stem not in stems:
            pass
        if stem:
            inside[stem][name[len(stem) + 1 :]] = tensor
    found, used = Adopted({}, {}), set[str]()
    for name in base.names():
        used.add(name)
        if name in stored and stored[name].is_floating_point() and stored[name].itemsize > 1:
            _take_plain(found, name, stored[name], base, who, folder)
            continue
        stem = name.removesuffix(".weight")
        suffixes = inside.get(stem, {}) if name != stem else {}
        spec = _describe(named, quantization, suffixes, base[name], stem, folder)
        if spec is None:
            raise ValueError(f"{folder} does not fit its original: it holds nothing for {name}.")
        if "bias" in suffixes and f"{stem}.bias" not in names:
            if bool(suffixes["bias"].any()):
                raise ValueError(f"{folder} does not fit its original: {stem} has a bias, which that does not have.")
            spec["bias"] = False  # auto-gptq's layers all have one
        found.layers[stem] = spec
        used |= {f"{stem}.{suffix}" for suffix in suffixes}
    if strange := sorted(stored.keys() - used - {HEAD}):
        raise ValueError(f"{folder} does not fit its original: it holds {strange[0]}, which that does not have.")
    return found


def _take_plain(found: Adopted, name: str, tensor: Tensor, base: Shards, who: str, folder: Path) -> None:
    original = base[name]
    if tensor.shape != original.shape:
        raise ValueError(
            f"{folder} does not fit its original: {name} has the shape {tuple(tensor.shape)}, "
            f"not {tuple(original.shape)}."
        )
    if original.dim() != 2 or name == EMBEDDING:
        return
    stem = name.removesuffix(".weight")
    if torch.equal(original.to(tensor.dtype), tensor):
        found.untouched[stem] = f"{who} left it as it is"
    else:
        found.layers[stem] = {"kind": "dense", "in_features": original.shape[1], "out_features": original.shape[0]}


def _describe(
    named: str,
    quantization: Mapping[str, Any],
    suffixes: Mapping[str, Tensor],
    original: Tensor,
    stem: str,
    folder: Path,
) -> Spec | None:
    """The spec of a packed layer, its size checked; None where there is no such layer."""
    if original.dim() != 2 or not suffixes:
        return None
    size = {"in_features": original.shape[1], "out_features": original.shape[0]}
    if named == "bitsandbytes":
        return {"kind": "bitsandbytes", **size} if "weight" in suffixes else None
    try:
        spec = PACKS[METHODS[named]].describe(quantization, suffixes) if named else None
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise ValueError(f"{folder} does not match its config at {stem}: {error}.") from None
    if spec and "in_features" not in spec:  # a pack that does not tell its layer's shape
        spec |= size
    if spec and {key: spec[key] for key in size} != size:
        raise ValueError(
            f"{folder} does not fit its original: {stem} is packed as ({spec['out_features']}, "
            f"{spec['in_features']}), not {tuple(original.shape)}."
        )
    return spec


def plain_tensors(layers: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A packed checkpoint's tensors with every layer dequantized: full name -> tensor."""
    inside: dict[str, dict[str, Tensor]] = {stem: {} for stem in layers}
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem = name
        while (stem := stem.rpartition(".")[0]) and stem not in layers:
            pass
        if stem:
            inside[stem][name[len(stem) + 1 :]] = tensor
        else:
            plain[name] = tensor
    for stem, spec in layers.items():
        plain[f"{stem}.weight"] = PACKS[spec["kind"]].dequantize(dict(spec), inside[stem])
        if "bias" in inside[stem] and spec.get("bias", True):
            plain[f"{stem}.bias"] = inside[stem]["bias"]
    return plain


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
