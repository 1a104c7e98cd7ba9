"""An artifact loaded back: strict, verified, an ordinary transformers model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from methods._checkpoint import plain_tensors
from methods._kinds import KINDS
from methods._manifest import CHECKPOINT, NAME, Manifest, check_files, damaged, read_manifest, read_tensors
from methods._packs import PACKS

AUTO: Any = AutoModelForCausalLM


def load(
    folder: Path,
    dtype: torch.dtype | str = "float32",
    device: torch.device | str = "cpu",
    materialize: bool = True,
    verify: bool = True,
) -> PreTrainedModel:
    """The compressed model as an ordinary transformers model in evaluation mode, without gradients.

    Floating tensors are cast to ``dtype``, those the manifest lists under ``keep_float32`` excepted.
    ``materialize`` dequantizes packed layers once into ``nn.Linear``; otherwise they dequantize in every forward: the
    numbers are the same (layers of another library then compute with its own kernels, which round differently).
    Raises DamagedArtifact for any difference to what was written; ``verify=False`` skips the digests of tensors (names,
    dtypes and shapes are still checked).
    """
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    tensors = read_tensors(folder, manifest, verify)
    if manifest.format == "transformers" and any(spec["kind"] in PACKS for spec in manifest.layers.values()):
        model = _load_packed(folder / CHECKPOINT, manifest, tensors, dtype, torch.device(device))
    elif manifest.format == "transformers":
        del tensors
        model = _load_checkpoint(folder / CHECKPOINT, dtype, torch.device(device), materialize)
    else:
        model = _load_blocks(folder, manifest, tensors, dtype, torch.device(device), materialize)
    return model.requires_grad_(False).eval()


def _load_blocks(
    folder: Path,
    manifest: Manifest,
    tensors: dict[str, Tensor],
    dtype: torch.dtype,
    device: torch.device,
    materialize: bool,
) -> PreTrainedModel:
    model = _skeleton(AutoConfig.from_pretrained(folder), dtype)
    for name, spec in manifest.layers.items():
        with torch.device("meta"):
            layer = KINDS[spec["kind"]].from_spec(spec)
        state = {}
        for buffer in layer.state_dict():
            if (full := f"{name}.{buffer}") not in tensors:
                damaged(folder / NAME, f"lists layer {name} but no tensor {full}")
            state[buffer] = _placed(tensors.pop(full), dtype if buffer in layer.ACTIVATION_TYPED else None, device)
        layer.load_state_dict(state, assign=True)
        model.set_submodule(name, layer.materialize(dtype) if materialize else layer)
    for name, spec in manifest.layers.items():
        if lender := spec.get("shares"):
            model.get_submodule(name).borrow(model.get_submodule(lender))  # type: ignore[operator]
    keep = set(manifest.keep_float32)
    state = {
        name: _placed(tensor, None if name in keep or not tensor.is_floating_point() else dtype, device)
        for name, tensor in tensors.items()
    }
    return _filled(model, state, folder, device)


def _load_packed(
    folder: Path, manifest: Manifest, tensors: dict[str, Tensor], dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """A checkpoint of another library whose layers we dequantize ourselves."""
    config = AutoConfig.from_pretrained(folder)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = plain_tensors(manifest.layers, tensors)
    state = {name: _placed(tensor, dtype, device) for name, tensor in plain.items()}
    return _filled(_skeleton(config, dtype), state, folder, device)


def _load_checkpoint(folder: Path, dtype: torch.dtype, device: torch.device, materialize: bool) -> PreTrainedModel:
    """A checkpoint of another library. Quantized layers are dequantized before the first forward, or left to it."""
    quantized = "quantization_config" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    options: dict[str, Any] = {"device_map": {"": str(device)}} if quantized else {}
    model, info = AUTO.from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    for key, what in (("missing_keys", "lack the tensor"), ("unexpected_keys", "hold the unknown tensor")):
        if info[key]:
            damaged(folder / "config.json", f"does not fit the weights beside it: they {what} {min(info[key])}")
    if not quantized:
        return model.to(device)
    if not materialize:
        return model
    from methods import ref_bitsandbytes

    # A new model takes the values, so that nothing of the library stays in what is evaluated or exported.
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    state = {name: _placed(tensor, dtype, device) for name, tensor in ref_bitsandbytes.plain_tensors(model).items()}
    return _filled(_skeleton(config, dtype), state, folder, device)


def _skeleton(config: Any, dtype: torch.dtype) -> Any:
    """The model without memory for weights: parameters on the meta device, buffers (rotary frequencies) real."""
    with init_empty_weights(include_buffers=False):
        return AUTO.from_config(config, dtype=dtype)


def _filled(model: Any, state: dict[str, Tensor], folder: Path, device: torch.device) -> PreTrainedModel:
    """The skeleton with its weights; every name of ``state`` known to it, no tensor of it left without memory."""
    unexpected = model.load_state_dict(state, strict=False, assign=True).unexpected_keys
    if unexpected:
        damaged(folder / NAME, f"lists tensor {unexpected[0]}, which this model does not know")
    model.tie_weights()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            damaged(folder / NAME, f"lists no tensor {name}, which the model needs")
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.to(device)


def _placed(tensor: Tensor, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    """A copy of a tensor that is mapped from a file, so that the model does not depend on the file any more."""
    return tensor.to(device=device, dtype=dtype or tensor.dtype, copy=True)
