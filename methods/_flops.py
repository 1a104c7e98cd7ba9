"""What one token costs: operations and bytes, by part, from the shapes and kinds of an artifact's layers.

Legend: ``n`` tokens of context, the token itself among them; ``b`` sequences at once, which share what is read of the
weights. Per token::

    dense linear       2 in out
    factored linear    2 rank (in + out)          of stacked linears, whose first factor is one, 2 rank in only once
    attention          4 heads head_dim n         scores and mixture; n is at most a layer's sliding window
    head               2 hidden vocabulary

    bytes              weights as they are stored / b  +  2 kv_heads head_dim n, in the cache's type

Only products of matrices are counted, as in most published figures: no norms, rotary embeddings, softmax, embedding
lookup, and no work to unpack what is packed. Masked weights count as dense ones: zeros are multiplied like any number
unless a sparse kernel skips them. The bytes are what a kernel that reads the stored form would move; what is computed
in another form moves more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from methods._blocks import Family, family
from methods._kinds import KINDS
from methods._manifest import CHECKPOINT, Manifest, read_manifest
from methods._shards import EMBEDDING, HEAD

PARTS = ("projection", "attention", "mlp", "head")
"""The attention's linears (q, k, v, o), attention over the context, the MLP's linears, the vocabulary head."""

Shape = tuple[int, int]
"""(out, in)"""


@dataclass(frozen=True)
class Cost:
    """Of one token; part -> number, in the order of `PARTS`."""

    flops: Mapping[str, float]
    bytes: Mapping[str, float]


def cost(folder: Path, context: int, batch: int = 1, cache: torch.dtype = torch.float32) -> Cost:
    """What a token costs in an artifact, by its manifest and config; ``cache`` is the dtype of keys and values.

    Raises DamagedArtifact, and UnsupportedModel for an architecture that is not in the table of blocks.
    """
    manifest = read_manifest(folder)
    place = folder / CHECKPOINT if manifest.format == "transformers" else folder
    config = AutoConfig.from_pretrained(place).get_text_config()
    known = family(config.to_dict())
    dense = _dense(manifest, known, config.num_hidden_layers)
    embedding = EMBEDDING.removesuffix(".weight")  # compressed, in a GGUF file: computed with where it is the head too
    layers = {name: spec for name, spec in manifest.layers.items() if name != embedding or _head(manifest) == embedding}
    attended = sum(min(context, window or context) for window in windows(config))
    key_values = 2 * config.num_key_value_heads * head_size(config) * cache.itemsize
    stored = dict.fromkeys(PARTS, 0.0)
    for name in (*dense, *layers):
        stored[_part(name, known)] += _stored_bytes(name, manifest) / batch
    stored["attention"] = float(attended * key_values)
    return Cost(flops(config, dense, layers, context), stored)


def flops(
    config: Any, dense: Mapping[str, Shape], layers: Mapping[str, Mapping[str, Any]], context: int
) -> dict[str, float]:
    """Part -> operations for one token with ``context`` tokens to attend to, itself among them.

    ``dense``: the linears that are stored whole, the head among them; ``layers``: the specs of compressed ones.
    """
    known = family(config.to_dict())
    found = dict.fromkeys(PARTS, 0.0)
    for name, (rows, columns) in dense.items():
        found[_part(name, known)] += 2 * rows * columns
    for name, spec in layers.items():
        found[_part(name, known)] += 2 * _products(spec)
    attended = sum(min(context, window or context) for window in windows(config))
    found["attention"] = float(4 * config.num_attention_heads * head_size(config) * attended)
    return found


def windows(config: Any) -> list[int | None]:
    """How far back each layer looks; None: to the beginning."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return [window] * config.num_hidden_layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def head_size(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _dense(manifest: Manifest, known: Family, blocks: int) -> dict[str, Shape]:
    """The linears that are stored as they were. A tied head is computed from the embedding."""
    names = [f"{known.blocks}.{block}.{linear}" for block in range(blocks) for linear in known.linears]
    found: dict[str, Shape] = {
        name: tuple(manifest.tensors[f"{name}.weight"]["shape"])  # type: ignore[misc]
        for name in names
        if name not in manifest.layers
    }
    if (head := _head(manifest)) not in manifest.layers:
        found[head] = tuple(manifest.tensors[f"{head}.weight"]["shape"])  # type: ignore[assignment]
    return found


def _head(manifest: Manifest) -> str:
    """The layer that makes logits: the embedding where the two are tied."""
    own = HEAD.removesuffix(".weight")
    has_own = any(name.startswith(f"{own}.") for name in manifest.tensors)
    return own if has_own else EMBEDDING.removesuffix(".weight")


def _part(name: str, known: Family) -> str:
    if not name.startswith(f"{known.blocks}."):
        return "head"
    linear = name.removeprefix(f"{known.blocks}.").partition(".")[2]
    return "projection" if known.group_of(linear).name in ("qkv", "o") else "mlp"


def _products(spec: Mapping[str, Any]) -> int:
    """Multiplications that one row of input takes in a compressed layer."""
    own = getattr(KINDS.get(spec["kind"]), "products", None)
    return own(spec) if own else spec["in_features"] * spec["out_features"]


def _stored_bytes(name: str, manifest: Manifest) -> int:
    tensors = ((full, entry) for full, entry in manifest.tensors.items() if full.startswith(f"{name}."))
    return sum(math.prod(entry["shape"]) * getattr(torch, entry["dtype"]).itemsize for _, entry in tensors)
