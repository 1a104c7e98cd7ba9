"""Truncation where inputs are already compressed: linears are fitted to the original's outputs from what they read.

Two walks go side by side: the original's blocks with the original's inputs x, and a copy whose linears are replaced as
they are made, with its own inputs x'. In a block the groups follow each other in order of execution, so that ``o``
already reads what the new q, k and v make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from methods._blocks import Group, family
from methods._factorise import Made, Metric, factored, finish, open_notes, stacked, write_block
from methods._lowrank import anchored, damped
from methods._moments import require_agreement, shares
from methods._selected import Selection, Unit
from methods._shards import Shards
from methods._walk import Block, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Progress, Source


def factorise_anchored(
    writer: Writer,
    source: Source,
    selection: Selection,
    ranks: Mapping[Unit, int | None],
    calibration: Calibration,
    damping: float,
    sink: float,
    progress: Progress,
) -> Compressed:
    """Write the whole artifact at these ranks. An interrupted run goes on behind its finished blocks."""
    require_agreement(calibration)
    kind, shards, weights = family(source.config), Shards(source.folder), sequence_weights(calibration)
    open_notes(writer, selection, ranks)
    walks = (walk(source, calibration.tokens), walk(source, calibration.tokens))
    for original, copy in zip(*walks, strict=True):
        if writer.has_block(original.index):
            _replace(copy, writer.read_layers(original.index))
        else:
            tensors = {f"{copy.prefix}.{name}": shards[f"{copy.prefix}.{name}"] for name in copy.module.state_dict()}
            made: dict[Unit, Made] = {}
            reads = _inputs(original, kind.groups)
            for group in kind.groups:
                units = {unit: rank for unit, rank in ranks.items() if _belongs(unit, copy, group) and rank is not None}
                if units:
                    cross, gram = _second_moments(
                        reads.pop(group.name), _inputs(copy, [group])[group.name], weights, sink
                    )
                    made |= _truncated(units, tensors, cross, damped(gram, damping), selection)
                    for unit in units:
                        _replace(copy, made[unit].layers)
            write_block(writer, copy, selection, ranks, made, tensors)
        copy.observe()  # the next block reads what the replaced linears make
        progress("factorising blocks", copy.index + 1, copy.count)
    return finish(writer, source)


def sequence_weights(calibration: Calibration) -> Tensor:
    """float64 ``(n,)``: what a token of each sequence counts for, so that languages count by their weights."""
    weights, length = shares(calibration.weights), calibration.tokens.shape[1]
    counts = {language: calibration.languages.count(language) * length for language in weights}
    return torch.tensor([weights[name] / counts[name] for name in calibration.languages], dtype=torch.float64)


def _belongs(unit: Unit, block: Block, group: Group) -> bool:
    return unit.block == block.index and unit.group == group.name


def _truncated(
    units: Mapping[Unit, int], tensors: Mapping[str, Tensor], cross: Tensor, gram: Tensor, selection: Selection
) -> dict[Unit, Made]:
    made = {}
    for unit, rank in units.items():
        weight = stacked(unit, tensors).to(gram.device)
        metric = Metric(gram, target=anchored(weight, cross, gram))
        made[unit] = factored(unit, weight, rank, metric, selection.recipe, tensors)
    return made


def _inputs(block: Block, groups: Iterable[Group]) -> dict[str, list[Tensor]]:
    """Group -> what it reads, a tensor ``(batch, length, features)`` per batch."""
    names = {group.reads: group.name for group in groups}
    seen: dict[str, list[Tensor]] = {name: [] for name in names.values()}
    block.observe(*names, see=lambda linear, _, x: seen[names[linear]].append(x))
    return seen


def _second_moments(x: list[Tensor], compressed: list[Tensor], weights: Tensor, sink: float) -> tuple[Tensor, Tensor]:
    """float64 E[x x'^T] and E[x' x'^T], ``(features, features)``; ``sink`` as ``activation_svd`` has it."""
    length, features = x[0].shape[1:]
    tokens = torch.ones(length, dtype=torch.float64, device=x[0].device)
    tokens[0] += sink * length
    tokens /= 1 + sink
    cross, gram = (torch.zeros(features, features, dtype=torch.float64, device=x[0].device) for _ in range(2))
    sizes = [len(batch) for batch in x]
    for original, copy, weight in zip(x, compressed, weights.to(cross.device).split(sizes), strict=True):
        scale = (weight[:, None] * tokens).sqrt()[:, :, None]
        first, second = ((part.double() * scale).flatten(0, 1) for part in (original, copy))
        cross += first.T @ second
        gram += second.T @ second
    return cross, gram


def _replace(block: Block, layers: Mapping[str, Any]) -> None:
    """Put layers, by full names, in the place of the block's linears, as they run after loading."""
    hidden = block.inputs[0] if block.inputs else torch.zeros(())
    runs = {name: layer.materialize(hidden.dtype).to(hidden.device) for name, layer in layers.items()}
    for name, layer in layers.items():
        if layer.shares:
            runs[name].borrow(runs[layer.shares])
        block.module.set_submodule(name.removeprefix(block.prefix + "."), runs[name])
