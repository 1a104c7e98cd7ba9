"""Compress the linears of block after block by compensation, every block reading what the compressed ones before make.

A *stage* is the linears whose inputs are observed in one pass: with ``true_sequential`` one group of linears at a
time (q, k, v; o; gate, up; down), so that later ones read what the compressed earlier ones make; else all of a block.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from methods._blocks import Family, Group, family
from methods._files import write_text
from methods._moments import block_moments, require_agreement
from methods._restoration import Factor, factorize
from methods._shards import HEAD, Shards
from methods._walk import Block, rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Progress, Source

FOUND = "restoration.json"
"""What was found, in the artifact: block -> linear -> loss, damping, and what else the method tells."""

Found = dict[str, dict[str, float]]
"""Linear, full name -> what was found."""

log = logging.getLogger(__name__)


class Made(NamedTuple):
    """A compressed linear."""

    layer: Any
    """One of ``_kinds``."""
    found: dict[str, float]
    """What to tell about it in ``FOUND``."""


@dataclass(frozen=True)
class Sequence:
    """What a method does to a linear, and what it wants to be given."""

    name: str
    """The method's, for progress."""
    compress: Callable[[str, Tensor, Tensor | None, Factor], Made]
    """Linear's name in its block, weight float32 ``(rows, columns)``, bias or None, factor of the input's H -> the
    compressed linear."""
    misfit: Callable[[int, int], str | None]
    """Why a weight of so many rows and columns stays as it is; None when it does not."""
    damp: float
    act_order: bool
    true_sequential: bool
    notes: Callable[[Found], dict[str, str]] = lambda found: {}
    """What to say in every record of the artifact, from what was found."""
    turn: Callable[[Tensor], Tensor] = lambda hessian: hessian
    """H of the inputs ``(columns, columns)`` -> H of what the compressed linear makes of them: rotated inputs."""


def require_bool(name: str, value: object) -> None:
    """ValueError, a sentence, unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: allowed are true and false.")


def require_damp(value: object) -> None:
    """ValueError, a sentence, unless ``value`` can be a damping."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"damp={value!r}: allowed are numbers above 0 and up to 1.")


def compress_model(
    source: Source, calibration: Calibration, writer: Writer, sequence: Sequence, progress: Progress
) -> Compressed:
    """Every block in order, then the rest. Blocks that ``writer`` has already are read back, not made again."""
    require_agreement(calibration)
    kind, shards = family(source.config), Shards(source.folder)
    for block in walk(source, calibration.tokens):
        if writer.has_block(block.index):
            for name, layer in writer.read_layers(block.index).items():
                _install(block, name.removeprefix(f"{block.prefix}."), layer)
        else:
            stored = {name: shards[f"{block.prefix}.{name}"] for name in block.module.state_dict()}
            made = _compress_block(block, stored, kind, calibration, sequence)
            _store(writer, block, stored, made, sequence)
        if block.index + 1 < block.count:
            block.observe()  # the next block reads what the compressed one makes
        progress(f"{sequence.name} blocks", block.index + 1, block.count)
    if HEAD in shards.names():
        writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
    if not writer.has_rest():
        writer.rest(rest(source))
    found = _read_found(writer)
    if raised := [name for name, told in found.items() if told["damp"] != sequence.damp]:
        first = f"{raised[0]}: {found[raised[0]]['damp']:g}"
        writer.note("damping", f"{len(raised)} linears needed more damping than {sequence.damp:g} ({first})")
    for name, sentence in sequence.notes(found).items():
        writer.note(name, sentence)
    return writer.finish()


def _read_found(writer: Writer) -> Found:
    path = writer.folder / FOUND
    blocks = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {f"{prefix}.{name}": told for prefix, linears in blocks.items() for name, told in linears.items()}


def _compress_block(
    block: Block, stored: dict[str, Tensor], kind: Family, calibration: Calibration, sequence: Sequence
) -> dict[str, Made]:
    """Linear -> what became of it, for every linear that fits; each is put into the block at once."""
    made: dict[str, Made] = {}
    groups = [(group, _fitting(group, stored, sequence)) for group in kind.groups]
    groups = [(group, names) for group, names in groups if names]
    for stage in [[part] for part in groups] if sequence.true_sequential else [groups]:
        observed = replace(kind, groups=tuple(group for group, _ in stage))
        grams = block_moments(block, observed, calibration, ["gram:row"], outputs=False)["gram:row"]
        for group, names in stage:
            factor = _factor(grams.pop(group.name)[0], block, names, sequence)
            for name in names:
                weight = stored[f"{name}.weight"].to(factor.order.device, torch.float32)
                result = sequence.compress(name, weight, stored.get(f"{name}.bias"), factor)
                made[name] = result._replace(found=result.found | {"damp": factor.damp})
                _install(block, name, result.layer)
    return made


def _fitting(group: Group, stored: dict[str, Tensor], sequence: Sequence) -> list[str]:
    return [name for name in group.linears if not sequence.misfit(*stored[f"{name}.weight"].shape)]


def _factor(gram: Tensor, block: Block, names: list[str], sequence: Sequence) -> Factor:
    where = f"{block.prefix}, {' and '.join(names)}"
    try:
        hessian = gram.to(block.inputs[0].device if block.inputs else "cpu")
        factor = factorize(sequence.turn(hessian), sequence.damp, sequence.act_order)
    except ValueError as problem:
        raise ValueError(f"{where}: {problem}.") from None
    if factor.damp != sequence.damp:
        log.warning("%s: damped by %g in place of %g to be positive definite.", where, factor.damp, sequence.damp)
    return factor


def _install(block: Block, name: str, layer: Any) -> None:
    """Let the block run with the compressed linear's numbers."""
    weight = block.module.get_submodule(name).weight
    assert isinstance(weight, torch.nn.Parameter)
    weight.data = layer.dequantize().to(device=weight.device, dtype=weight.dtype)


def _store(writer: Writer, block: Block, stored: dict[str, Tensor], made: dict[str, Made], sequence: Sequence) -> None:
    """Write a finished block; what was found goes first, so that a stored block is never without it."""
    path = writer.folder / FOUND
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found[block.prefix] = {name: result.found for name, result in made.items()}
    write_text(path, json.dumps(found, indent=1) + "\n")
    for name, tensor in stored.items():
        linear, _, part = name.rpartition(".")
        if part == "weight" and tensor.dim() == 2 and linear not in made:
            writer.untouched(f"{block.prefix}.{linear}", sequence.misfit(*tensor.shape) or "not a linear of the table")
    kept = {name: tensor for name, tensor in stored.items() if name.rpartition(".")[0] not in made}
    writer.block(
        block.index,
        {f"{block.prefix}.{name}": tensor for name, tensor in kept.items()},
        {f"{block.prefix}.{name}": result.layer for name, result in made.items()},
    )
