"""AWQ over a whole model, for every method that begins with it: each block searched once, and remembered.

What a block's search finds (``_awq_block.Searched``) is kept beside the moments, by model, text and recipe, in
``<cache>/<key>/awq-<recipe>/00007.safetensors``. Another method with the same recipe reads it and rounds to the same
bits, without a forward pass. Each file carries its own digest: one that was cut short or altered is searched again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from methods._affine import parse_granularity
from methods._awq_block import Recipe, Searched, Shrunk, pack_block, search_block
from methods._blocks import family
from methods._files import write_tensors, write_text
from methods._lease import lease
from methods._linear import AffineLinear
from methods._manifest import canonical, digest_bytes, digest_tensors
from methods._moments import cache_key, gather
from methods._packing import BITS
from methods._shards import HEAD, Shards
from methods._walk import rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Progress, Source

SEARCH = "search.json"
"""What was found, in the artifact: block -> group -> r, loss and plain rounding's loss, or why nothing was searched."""
SHORTEST = 256
"""Tokens: sequences are not cut shorter than this to compare scales, so that attention has something to attend to."""
VERSION = 2
"""Raised when the same inputs would be searched with another result."""

log = logging.getLogger(__name__)


class Options(Protocol):
    """The fields of a method that begins with AWQ; what they mean is said in ``awq.Awq``."""

    @property
    def bits(self) -> int: ...
    @property
    def granularity(self) -> str: ...
    @property
    def symmetric(self) -> bool: ...
    @property
    def grid(self) -> int: ...
    @property
    def clip(self) -> bool: ...
    @property
    def clip_grid(self) -> int: ...
    @property
    def weight_scaling(self) -> bool: ...
    @property
    def search_tokens(self) -> int: ...


@dataclass(frozen=True)
class Packed:
    """A block on its way to disk."""

    index: int
    prefix: str
    shrunk: Shrunk
    """Its scaled weights, not clipped, and all that is stored as it is."""
    layers: dict[str, AffineLinear]
    notes: dict[str, Any]


def require_valid(options: Options) -> None:
    """ValueError, with a sentence for users, for a value that is not allowed."""
    if options.bits not in BITS or isinstance(options.bits, bool):
        raise ValueError(f"bits={options.bits!r}: allowed are {', '.join(map(str, BITS))}.")
    parse_granularity(options.granularity)
    for name in ("symmetric", "clip", "weight_scaling"):
        if not isinstance(getattr(options, name), bool):
            raise ValueError(f"{name}={getattr(options, name)!r}: allowed are true and false.")
    for name, most in (("grid", 1000), ("clip_grid", 20), ("search_tokens", None)):
        value = getattr(options, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most and value > most):
            limit = f"from 1 to {most}" if most else "from 1"
            raise ValueError(f"{name}={value!r}: allowed are whole numbers {limit}.")


def recipe_of(options: Options) -> Recipe:
    return Recipe(
        bits=options.bits,
        group=parse_granularity(options.granularity),
        symmetric=options.symmetric,
        grid=options.grid,
        clip_steps=options.clip_grid if options.clip else 0,
        weight_scaling=options.weight_scaling,
    )


def packed_blocks(
    options: Options, source: Source, calibration: Calibration, writer: Writer, progress: Progress
) -> Iterator[Packed]:
    """Every block that ``writer`` does not have yet. Text is read only where a block is still to be searched."""
    kind, recipe = family(source.config), recipe_of(options)
    folder = remembered_in(source, calibration, options)
    pending = [index for index in range(source.config["num_hidden_layers"]) if not writer.has_block(index)]

    def unknown() -> bool:
        return any(recall(folder, index) is None for index in pending)

    searching = unknown()
    with lease(folder) if folder and searching else nullcontext():
        tokens = moments = None
        if searching and unknown():  # still: somebody else may have searched while we waited
            needs = {"abs_mean"} | ({f"gram:{recipe.group or 'row'}"} if options.clip else set())
            moments = gather(source, calibration, needs, progress)
            tokens = search_sequences(calibration, options.search_tokens)
        shards = Shards(source.folder)
        for block in walk(source, tokens):
            if block.index in pending:
                names = block.module.state_dict()
                stored = {name: shards[f"{block.prefix}.{name}"].to(source.device) for name in names}
                searched = recall(folder, block.index)
                if searched is None:
                    assert moments is not None
                    searched = search_block(block, stored, kind, recipe, moments)
                    remember(folder, block.index, searched)
                yield Packed(block.index, block.prefix, *pack_block(stored, kind, recipe, searched), searched.notes)
            progress(f"{writer.recipe['method']} blocks", block.index + 1, block.count)


def store(writer: Writer, packed: Packed, layers: Mapping[str, AffineLinear] | None = None) -> None:
    """Write a block, with other ``layers`` if given. What was found goes first: no stored block is without it."""
    path, prefix, shrunk = writer.folder / SEARCH, packed.prefix, packed.shrunk
    notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_text(path, json.dumps(notes | {prefix: packed.notes}, indent=1) + "\n")
    for name, reason in shrunk.untouched.items():
        writer.untouched(f"{prefix}.{name}", reason)
    writer.block(
        packed.index,
        {f"{prefix}.{name}": tensor for name, tensor in shrunk.tensors.items()},
        {f"{prefix}.{name}": layer for name, layer in (layers or packed.layers).items()},
        [f"{prefix}.{name}" for name in shrunk.keep_float32],
    )


def finish(writer: Writer, source: Source) -> Compressed:
    """Everything outside the blocks, as it is, and the manifest."""
    if HEAD in Shards(source.folder).names():
        writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
    if not writer.has_rest():
        writer.rest(rest(source))
    return writer.finish()


def search_sequences(calibration: Calibration, most: int) -> Tensor:
    """At most ``most`` tokens (at least one sequence's first ``SHORTEST``): the beginnings of the sequences.

    Blocks are causal, so a beginning sees what it saw in its whole sequence. Where even short beginnings of all
    sequences are too many, languages take turns.
    """
    sequences, length = calibration.tokens.shape
    length = min(length, max(SHORTEST, most // sequences))
    turns: dict[str, int] = {}
    order = []
    for index, language in enumerate(calibration.languages):
        turns[language] = turns.get(language, -1) + 1
        order.append((turns[language], index))
    chosen = sorted(index for _, index in sorted(order)[: max(1, most // length)])
    return calibration.tokens[chosen, :length]


def remembered_in(source: Source, calibration: Calibration, options: Options) -> Path | None:
    """The folder of what is searched with these options on this model and text; None without a cache."""
    if calibration.cache is None:
        return None
    identity = [VERSION, *astuple(recipe_of(options)), options.search_tokens]
    return calibration.cache / cache_key(source, calibration) / f"awq-{digest_bytes(canonical(identity).encode())}"


def remember(folder: Path | None, index: int, searched: Searched) -> None:
    if folder is None:
        return
    tensors = {f"scales/{name}": tensor for name, tensor in searched.scales.items()}
    tensors |= {f"limits/{name}": tensor for name, tensor in searched.limits.items()}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    notes = json.dumps(searched.notes)  # in its order, so that search.json is the same either way
    write_tensors(_path(folder, index), tensors, {"notes": notes, "digest": _digest(notes, tensors)})


def recall(folder: Path | None, index: int) -> Searched | None:
    """What was found for a block, on the CPU; None where it was not searched, or (logged) what is kept is damaged."""
    if folder is None or not (path := _path(folder, index)).exists():
        return None
    try:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            notes, digest = file.metadata()["notes"], file.metadata()["digest"]
        if _digest(notes, tensors) != digest:
            raise ValueError("its digest is another")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
        log.warning("The AWQ search kept in %s is damaged (%s); the block is searched again.", path, problem)
        return None
    parts: dict[str, dict[str, Tensor]] = {"scales": {}, "limits": {}}
    for name, tensor in tensors.items():
        part, _, key = name.partition("/")
        parts[part][key] = tensor
    return Searched(parts["scales"], parts["limits"], json.loads(notes))


def _digest(notes: str, tensors: Mapping[str, Tensor]) -> str:
    return digest_bytes(canonical([notes, digest_tensors(tensors)]).encode())


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.safetensors"
