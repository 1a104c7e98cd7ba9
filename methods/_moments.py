"""Moments of what the linears of a model read on calibration text: gathered once, used by every method that needs them.

A *need* is the name of a moment, gathered for each (block, group of linears with one input x of ``features`` channels):

    abs_mean   mean |x| per language                              (features,)
    gram:G     mean of x x' within groups of G channels           (features / G, G, G)
    gram:row   mean of x x' over all channels                     (1, features, features)
    gram64     the same, computed and kept in float64             (features, features)
    mean       mean x, computed and kept in float64               (features,)
    first      gram64 and mean of each sequence's first token

Means over languages weigh each language by ``Calibration.weights``. One pass over the blocks gathers all needs that
the cache does not hold yet. On disk: ``_blockfiles`` called by the need, in ``<cache>/<key>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from methods._blockfiles import complete_blocks, digest, write_block, write_index
from methods._blocks import Family, family
from methods._lease import lease
from methods._walk import Block, walk
from methods.base import Calibration, Progress, Source, silent

VERSION = 1
"""Raised when the same inputs would give other moments."""

NAMED = ("abs_mean", "first", "gram64", "mean")


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

    def second_moment(self, block: int, group: str) -> Tensor:
        """float64 ``(features, features)``: mean of x x'."""
        return self._tensors("gram64", block)[group]

    def mean(self, block: int, group: str) -> Tensor:
        """float64 ``(features,)``: mean of x."""
        return self._tensors("mean", block)[group]

    def first(self, block: int, group: str) -> tuple[Tensor, Tensor]:
        """float64 ``(features, features)`` and ``(features,)``: second moment and mean of the first tokens' x."""
        tensors = self._tensors("first", block)
        return tensors[group], tensors[f"{group}/mean"]


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights above zero, summing to 1."""
    total = sum(weights.values())
    return {language: weight / total for language, weight in weights.items() if weight > 0}


def require_agreement(calibration: Calibration) -> None:
    """ValueError unless the languages with a weight are those that have a sequence."""
    missing = set(shares(calibration.weights)) ^ set(calibration.languages)
    if missing:
        raise ValueError(f"Calibration languages and weights disagree about {', '.join(sorted(missing))}.")


def gather(source: Source, calibration: Calibration, needs: Iterable[str], progress: Progress = silent) -> Moments:
    """The moments named in ``needs``, from the cache or from one pass over all blocks.

    A cache file that was cut short or altered is noticed (logged) and its moment gathered again.
    """
    needs = sorted(set(needs))
    unknown = [need for need in needs if need not in NAMED and _gram_size(need) is None]
    if unknown:
        known = ", ".join(map(repr, (*NAMED, "gram:SIZE")))
        raise ValueError(f"No moment is called {unknown[0]!r}; known are {known} and 'gram:row'.")
    require_agreement(calibration)
    folder = calibration.cache / cache_key(source, calibration) if calibration.cache else None
    found = _kept(folder, needs)
    if len({need for need, _ in found}) < len(needs):
        with lease(folder) if folder else nullcontext():
            found = _kept(folder, needs)
            gathered = {need for need, _ in found}
            if missing := [need for need in needs if need not in gathered]:
                found |= _gather(source, calibration, missing, folder, progress)
    return Moments(found, calibration.weights)


def _kept(folder: Path | None, needs: Iterable[str]) -> dict[tuple[str, int], bytes | Path]:
    """What the cache holds of these needs: all blocks of one or none."""
    if folder is None:
        return {}
    return {(need, block): path for need in needs for block, path in enumerate(complete_blocks(folder, need))}


def _gather(
    source: Source, calibration: Calibration, needs: list[str], folder: Path | None, progress: Progress
) -> dict[tuple[str, int], bytes | Path]:
    kind = family(source.config)
    stored: dict[tuple[str, int], bytes | Path] = {}
    digests: dict[str, list[str]] = {need: [] for need in needs}
    for block in walk(source, calibration.tokens):
        for need, tensors in block_moments(block, kind, calibration, needs).items():
            data = save(tensors)
            digests[need].append(digest(data))
            stored[need, block.index] = write_block(folder, need, block.index, data) if folder else data
        progress("moments", block.index + 1, block.count)
    if folder:
        for need in needs:
            write_index(folder, need, digests[need])
    return stored


def block_moments(
    block: Block, kind: Family, calibration: Calibration, needs: list[str], outputs: bool = True
) -> dict[str, dict[str, Tensor]]:
    """Need -> tensors to store, from one forward pass over the block's inputs.

    The pass gives the block's outputs too, unless they are not wanted: then it ends with the last of the inputs.
    """
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
        if "mean" in sums:
            _add(sums["mean"], group, (x.double() * weight.double()[:, None, None]).sum((0, 1)))
        if "gram64" in sums:  # products too: a mean that outweighs its spread would drown the spread in float32
            wide = (x.double() * weight.double().sqrt()[:, None, None]).flatten(0, 1)
            _add(sums["gram64"], group, wide.T @ wide)
        if "first" in sums:
            first, share = x[:, 0].double(), weight.double()[:, None] * x.shape[1]
            _add(sums["first"], group, (first * share).T @ first)
            _add(sums["first"], f"{group}/mean", (first * share).sum(0))
        x = (x * weight.sqrt()[:, None, None]).flatten(0, 1)
        for need in sums.keys() - set(NAMED):
            size = _gram_size(need) or x.shape[1]
            if x.shape[1] % size == 0:
                parts = x.view(len(x), -1, size)  # (tokens, groups, size)
                _add(sums[need], group, parts.permute(1, 2, 0) @ parts.transpose(0, 1))

    if outputs:
        block.observe(*groups, see=see)
    else:
        block.peek(*groups, see=see)
    return {need: {name: tensor.cpu().contiguous() for name, tensor in part.items()} for need, part in sums.items()}


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _gram_size(need: str) -> int | None:
    """Channels of a group in ``gram:128``; 0 for ``gram:row`` (all channels); None for other names."""
    kind, _, size = need.partition(":")
    if kind != "gram":
        return None
    return 0 if size == "row" else int(size) if size.isdigit() and int(size) > 0 else None


def cache_key(source: Source, calibration: Calibration) -> str:
    """Name of the folder for what is gathered from this model on this text.

    By the tokens themselves: the calibration's fingerprint covers ``firing`` too, which nothing here reads.
    """
    identity = [
        VERSION,
        source.digest,
        source.dtype,
        torch.device(source.device).type,
        [list(calibration.tokens.shape), digest(calibration.tokens.cpu().contiguous().numpy().tobytes())],
        calibration.languages,
        sorted(shares(calibration.weights).items()),
    ]
    return digest(json.dumps(identity).encode())
