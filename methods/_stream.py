"""A rotated residual stream: the same function with other weights, nothing left to do at run time.

Legend: ``x (..., hidden)`` the residual stream, a sum of what embedding, o and down write; R orthogonal. RMSNorm gains
are folded into the linears that read a norm; |x R| = |x|, so what is left of a norm commutes with R:

    embedding E -> E R        q, k, v, gate, up, head  W -> W diag(g) R        o, down  W -> R' W, b -> b R

and each head's values turn by one small rotation, which o takes back. Biases of q, k, v stay: they are outputs. Exact
where norms stand only before what reads the stream (Llama, Mistral, Qwen 2 and 3; norms after q and k see outputs).
Gemma's post-norms scale an output channel by channel before the sum, and that does not commute with R.

Source: QuaRot (arXiv 2404.00456), ``rotation_utils``; without its centring of embeddings, which is no invariance under
RMSNorm, and with ``head_dim`` where the config gives one. Computed in float64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from methods._blocks import family
from methods._files import copy_companions, write_tensors, write_text
from methods._rotation import Rotation, rotation
from methods._shards import EMBEDDING, HEAD, INDEX, Shards
from methods.base import Source, UnsupportedModel

EXACT = ("llama", "mistral", "qwen2", "qwen3")
"""Families whose norms all stand before what reads the stream."""
NORM = "model.norm.weight"


def require_stream(source: Source) -> None:
    """UnsupportedModel, a sentence, where rotating the stream would change the function or the size."""
    name = family(source.config).name
    if name not in EXACT:
        raise UnsupportedModel(
            f"rotation='stream' is not exact for {name}: its norms after attention and MLP scale what is added to the "
            "residual stream. rotation='input' is exact for every model."
        )
    if Shards(source.folder).tied:
        raise UnsupportedModel(
            "rotation='stream' folds the last norm into the head, and this model's head is its embedding, so that it "
            "would have to grow by a second one. rotation='input' is exact for every model."
        )


def rotate_stream(source: Source, folder: Path, seed: int = 0) -> Source:
    """A float32 checkpoint of the same function with a rotated stream, in ``folder``, a block in memory at a time."""
    shards, kind = Shards(source.folder), family(source.config)
    parts: dict[str, list[str]] = {}
    for name in shards.names():
        inside = name.startswith(f"{kind.blocks}.")
        block = name.removeprefix(f"{kind.blocks}.").split(".")[0] if inside else "rest"
        parts.setdefault(block, []).append(name)
    places: dict[str, str] = {}
    for number, names in enumerate(parts.values()):
        file = f"model-{number:05d}.safetensors"
        turned = turn_tensors({name: shards[name] for name in names}, source.config, seed)
        write_tensors(folder / file, {name: t.float().contiguous() for name, t in turned.items()}, {})
        places |= dict.fromkeys(names, file)
    copy_companions(source.folder, folder)
    write_text(folder / INDEX, json.dumps({"metadata": {}, "weight_map": places}))
    return replace(source, folder=folder)


def turn_tensors(tensors: Mapping[str, Tensor], config: Mapping[str, object], seed: int = 0) -> dict[str, Tensor]:
    """float64: the tensors of one whole block, or of all that is outside the blocks, by full names."""
    kind = family(config)
    wide = {name: tensor.double() for name, tensor in tensors.items()}
    if EMBEDDING in wide:
        turn = rotation(wide[EMBEDDING].shape[1], seed)
        wide[EMBEDDING] = turn.apply(wide[EMBEDDING])
        wide[HEAD] = turn.apply(wide[HEAD] * wide[NORM])
        wide[NORM] = torch.ones_like(wide[NORM])
        return wide
    prefix = ".".join(next(iter(wide)).split(".")[: kind.blocks.count(".") + 2])
    here = {name.removeprefix(f"{prefix}."): tensor for name, tensor in wide.items()}
    _turn_block(here, config, seed)
    return {f"{prefix}.{name}": tensor for name, tensor in here.items()}


def _turn_block(block: dict[str, Tensor], config: Mapping[str, object], seed: int) -> None:
    kind = family(config)
    for group in kind.groups:
        if not group.folds_into_norm:
            continue
        gain = block[f"{group.fold}.weight"]
        turn = rotation(len(gain), seed)
        for linear in group.linears:
            block[f"{linear}.weight"] = turn.apply(block[f"{linear}.weight"] * gain)
        block[f"{group.fold}.weight"] = torch.ones_like(gain)
    heads = config["num_attention_heads"]
    assert isinstance(heads, int)
    head = rotation(block["self_attn.o_proj.weight"].shape[1] // heads, seed)
    for part in ("weight", "bias"):
        if (values := block.get(f"self_attn.v_proj.{part}")) is not None:
            block[f"self_attn.v_proj.{part}"] = _outputs(head, values)
    o = block["self_attn.o_proj.weight"]
    block["self_attn.o_proj.weight"] = head.apply(o.unflatten(1, (heads, -1))).flatten(1)
    for linear in ("self_attn.o_proj", "mlp.down_proj"):
        block[f"{linear}.weight"] = turn.apply(block[f"{linear}.weight"].T).T
        if (bias := block.get(f"{linear}.bias")) is not None:
            block[f"{linear}.bias"] = turn.apply(bias)


def _outputs(head: Rotation, values: Tensor) -> Tensor:
    """Every head's rows turned: ``weight (heads * head_dim, in)`` or ``bias (heads * head_dim,)``."""
    return head.apply(values.T.unflatten(-1, (-1, head.features))).flatten(-2).T
