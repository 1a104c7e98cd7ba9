"""Moments of what the linears of a model read on calibration text: gathered once, used by every method that needs them.

A *need* is the name of a moment, gathered for each (block, group of linears with one input x of ``features`` channels):

    abs_mean   mean |x| per language                              (features,)
    gram:G     mean of x x' within groups of G channels           (features / G, G, G)
    gram:row   mean of x x' over all channels                     (1, features, features)

Means over languages weigh each language by ``Calibration.weights``. One pass over the blocks gathers all needs that
the cache does not hold yet. On disk: ``<cache>/<key>/<need>-00007.safetensors`` per block, and ``<need>.json`` with
the files' digests, written last, so that its existence means completeness.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from methods._blocks import Family, family
from methods._walk import Block, walk
from methods.base import Calibration, Progress, Source, silent

VERSION = 1
"""Raised when the same inputs would give other moments."""

log = logging.getLogger(__name__)


class Moments:
    """Moments of one model on one calibration text; blocks are read from the cache when asked for."""

    def __init__(self, blocks: Mapping[tuple[str, int], bytes | Path], weights: Mapping[str, float]) -> None:
        self._blocks = blocks
        self._weights = weights

    def _tensors(self, need: str, block: int) -> dict[str, Tensor]:
        if (need, block) not in self._blocks:
            raise KeyError(
                f"{need} of block {block} was not gathered; gathered: {sorted({n for n, _ in self._blocks})}."
            )
        stored = self._blocks[need, block]
        return load(stored.read_bytes() if isinstance(stored, Path) else stored)

    def abs_means(self, block: int, group: str) -> dict[str, Tensor]:
        """Language -> float32 ``(features,)``."""
        tensors = self._tensors("abs_mean", block)
        return {name.partition("/")[2]: mean for name, mean in tensors.items() if name.startswith(group + "/")}

    def abs_mean(self, block: int, group: str, weights: Mapping[str, float] | None = None) -> Tensor:
        """float32 ``(features,)``: the languages' means, weighted as the calibration (or the caller) says."""
        weights = shares(weights or self._weights)
        means = self.abs_means(block, group)
        return torch.stack([weights[language] * means[language] for language in sorted(weights)]).sum(0)

    def gram(self, block: int, group: str, size: int | None) -> Tensor | None:
        """float32 ``(features / size, size, size)``; ``size=None``: one group. None where ``size`` does not divide."""
        return self._tensors(f"gram:{size or 'row'}", block).get(group)


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights above zero, summing to 1."""
    total = sum(weights.values())
    return {language: weight / total for language, weight in weights.items() if weight > 0}


def gather(source: Source, calibration: Calibration, needs: Iterable[str], progress: Progress = silent) -> Moments:
    """The moments named in ``needs``, from the cache or from one pass over all blocks.

    A cache file that was cut short or altered is noticed (logged) and its moment gathered again.
    """
    needs = sorted(set(needs))
    unknown = [need for need in needs if need != "abs_mean" and _gram_size(need) is None]
    if unknown:
        raise ValueError(f"No moment is called {unknown[0]!r}; known are 'abs_mean', 'gram:SIZE' and 'gram:row'.")
    missing_weights = set(shares(calibration.weights)) ^ set(calibration.languages)
    if missing_weights:
        raise ValueError(f"Calibration languages and weights disagree about {', '.join(sorted(missing_weights))}.")
    folder = calibration.cache / _key(source, calibration) if calibration.cache else None
    found: dict[tuple[str, int], bytes | Path] = {}
    for need in needs if folder else []:
        found |= _cached(folder, need)  # type: ignore[arg-type]
    gathered = {need for need, _ in found}
    if missing := [need for need in needs if need not in gathered]:
        found |= _gather(source, calibration, missing, folder, progress)
    return Moments(found, calibration.weights)


def _gather(
    source: Source, calibration: Calibration, needs: list[str], folder: Path | None, progress: Progress
) -> dict[tuple[str, int], bytes | Path]:
    kind = family(source.config)
    stored: dict[tuple[str, int], bytes | Path] = {}
    digests: dict[str, list[str]] = {need: [] for need in needs}
    for block in walk(source, calibration.tokens):
        for need, tensors in _of_block(block, kind, calibration, needs).items():
            data = save(tensors)
            digests[need].append(_digest(data))
            stored[need, block.index] = _write(_path(folder, need, block.index), data) if folder else data
        progress("moments", block.index + 1, block.count)
    if folder:
        for need in needs:
            _write(folder / f"{_file(need)}.json", json.dumps({"blocks": digests[need]}).encode())
    return stored


def _of_block(block: Block, kind: Family, calibration: Calibration, needs: list[str]) -> dict[str, dict[str, Tensor]]:
    """Need -> tensors to store, from one forward pass over the block's inputs."""
    weights = shares(calibration.weights)
    counts = {language: calibration.languages.count(language) * calibration.tokens.shape[1] for language in weights}
    sums: dict[str, dict[str, Tensor]] = {need: {} for need in needs}
    groups = {group.reads: group.name for group in kind.groups}
    begins = list(accumulate((len(hidden) for hidden in block.inputs or []), initial=0))

    def see(linear: str, batch: int, x: Tensor) -> None:
        languages = calibration.languages[begins[batch] : begins[batch + 1]]
        group, x = groups[linear], x.float()
        if "abs_mean" in sums:
            for language, total in zip(languages, x.abs().sum(1), strict=True):
                _add(sums["abs_mean"], f"{group}/{language}", total / counts[language])
        weight = torch.tensor([weights[language] / counts[language] for language in languages], device=x.device)
        x = (x * weight.sqrt()[:, None, None]).flatten(0, 1)
        for need in sums.keys() - {"abs_mean"}:
            size = _gram_size(need) or x.shape[1]
            if x.shape[1] % size == 0:
                parts = x.view(len(x), -1, size)  # (tokens, groups, size)
                _add(sums[need], group, parts.permute(1, 2, 0) @ parts.transpose(0, 1))

    block.observe(*groups, see=see)
    return {need: {name: tensor.cpu().contiguous() for name, tensor in part.items()} for need, part in sums.items()}


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _gram_size(need: str) -> int | None:
    """Channels of a group in ``gram:128``; 0 for ``gram:row`` (all channels); None for other names."""
    kind, _, size = need.partition(":")
    if kind != "gram":
        return None
    return 0 if size == "row" else int(size) if size.isdigit() and int(size) > 0 else None


def _key(source: Source, calibration: Calibration) -> str:
    weights = sorted(shares(calibration.weights).items())
    identity = [
        VERSION,
        source.digest,
        source.dtype,
        torch.device(source.device).type,
        calibration.fingerprint,
        weights,
    ]
    return _digest(json.dumps(identity).encode())


def _file(need: str) -> str:
    return need.replace(":", "-")


def _path(folder: Path, need: str, block: int) -> Path:
    return folder / f"{_file(need)}-{block:05d}.safetensors"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _cached(folder: Path, need: str) -> dict[tuple[str, int], bytes | Path]:
    """The files of a complete, undamaged moment; empty where there is none."""
    index = folder / f"{_file(need)}.json"
    if not index.exists():
        return {}
    try:
        digests = json.loads(index.read_text(encoding="utf-8"))["blocks"]
        paths = [_path(folder, need, block) for block in range(len(digests))]
        damaged = [
            path.name for path, digest in zip(paths, digests, strict=True) if _digest(path.read_bytes()) != digest
        ]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        damaged, paths = [f"{index.name}: {problem}"], []
    if damaged:
        log.warning("Moments cache %s: %s is damaged; %s is gathered again.", folder, damaged[0], need)
        return {}
    return {(need, block): path for block, path in enumerate(paths)}


def _write(path: Path, data: bytes) -> Path:
    """Write a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path
