"""The bytes of an artifact by part, from the headers of what is stored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from methods._kinds import KINDS
from methods._manifest import Manifest, read_manifest
from methods._packs import PACKS
from methods._shards import EMBEDDING, HEAD

BITSANDBYTES_PARTS = {
    "weight": "codes",
    "weight.absmax": "scales",
    "weight.nested_absmax": "scales",
    "SCB": "scales",
    "bias": "rest",
}
"""Suffix in a bitsandbytes checkpoint -> part; its tables and states are ``side``."""
OUTSIDE = {EMBEDDING.removesuffix(".weight"): "embeddings", HEAD.removesuffix(".weight"): "head"}
"""What a GGUF file compresses too, and is weighed as what it is: bits per weight are those of the blocks' linears."""


@dataclass(frozen=True)
class Footprint:
    """Stored bytes by part; decimal units. A tied head is counted once, as the embedding."""

    codes: int
    scales: int
    """Scales and zeros of compressed layers."""
    side: int
    """Everything else that compressing added to those layers: tables, indices, factors."""
    embeddings: int
    head: int
    """0 when the head is tied to the embedding."""
    rest: int
    """Norms, biases and layers left as they were."""
    file_bytes: int
    """Sum of the safetensors files' sizes, headers included."""
    base_bytes: int
    """The original's tensors, in the dtype it is stored in."""
    quantized_weights: int
    """How many weights are in compressed layers."""
    parameters: int = 0
    """How many parameters the original has, a tied head counted once."""
    parameters_kept: int = 0
    """How many numbers stand for them: fewer where factors are stored in place of a weight."""

    @property
    def total(self) -> int:
        """Bytes of all tensors."""
        return self.codes + self.scales + self.side + self.embeddings + self.head + self.rest

    @property
    def bits_per_weight(self) -> float | None:
        """Bits per weight of compressed layers, every side tensor counted; None when nothing is compressed."""
        if not self.quantized_weights:
            return None
        return 8 * (self.codes + self.scales + self.side) / self.quantized_weights


def weigh(folder: Path) -> Footprint:
    """The footprint of an artifact, from its manifest and its files' sizes. Raises DamagedArtifact."""
    manifest = read_manifest(folder)
    files = {entry["file"] for entry in manifest.tensors.values()}
    return footprint(manifest, sum((folder / file).stat().st_size for file in files))


def footprint(manifest: Manifest, file_bytes: int) -> Footprint:
    """The footprint of what a manifest lists."""
    sizes: Counter[str] = Counter()
    for name, entry in manifest.tensors.items():
        sizes[part_of(name, manifest)] += math.prod(entry["shape"]) * getattr(torch, entry["dtype"]).itemsize
    weights = {name: spec["in_features"] * spec["out_features"] for name, spec in manifest.layers.items()}
    outside = sum(math.prod(entry["shape"]) for name, entry in manifest.tensors.items() if not _added(name, manifest))
    linears = weights.keys() - OUTSIDE.keys()
    return Footprint(
        codes=sizes["codes"],
        scales=sizes["scales"],
        side=sizes["side"],
        embeddings=sizes["embeddings"],
        head=sizes["head"],
        rest=sizes["rest"],
        file_bytes=file_bytes,
        base_bytes=manifest.base_bytes,
        quantized_weights=sum(weights[name] for name in linears),
        parameters=outside + sum(weights.values()),
        parameters_kept=outside + sum(_stored(spec, weights[name]) for name, spec in manifest.layers.items()),
    )


def part_of(name: str, manifest: Manifest) -> str:
    """The part a stored tensor is weighed in."""
    stem = name
    while stem := stem.rpartition(".")[0]:
        if stem in OUTSIDE and stem in manifest.layers:
            return OUTSIDE[stem]
        if stem in manifest.layers:
            return _parts(manifest.layers[stem]).get(name[len(stem) + 1 :], "side")
    if name == HEAD:
        return "head"
    return "embeddings" if name.endswith(("embed_tokens.weight", "wte.weight")) else "rest"


def _added(name: str, manifest: Manifest) -> bool:
    """Whether a tensor stands for a compressed weight, as all of such a layer's do but its bias."""
    return part_of(name, manifest) in ("codes", "scales", "side") or name.rpartition(".")[0] in (
        OUTSIDE.keys() & manifest.layers.keys()
    )


def _stored(spec: Mapping[str, Any], weights: int) -> int:
    """How many numbers a compressed layer holds for its ``weights``."""
    stored = getattr(KINDS.get(spec["kind"]), "stored", None)
    return stored(spec) if stored else weights


def _parts(spec: Mapping[str, Any]) -> Mapping[str, str]:
    kind = spec["kind"]
    if kind in PACKS:
        return PACKS[kind].parts
    return KINDS[kind].PARTS if kind in KINDS else BITSANDBYTES_PARTS
