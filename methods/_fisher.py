"""Fisher diagonals of the decoder linears: how much the loss minds a change of each weight (Kim et al., SqueezeLLM,
arXiv 2306.07629, section 3.2), per language.

    F_k = sum over sequences s of language k of g_s^2        g_s = gradient of s's mean loss per token, elementwise

The authors' released code sums in bfloat16, where a term below 1/256 of the sum is lost; ours sums in float32. They
hold the whole model with its gradients; ours goes through the blocks twice and holds one: forward, keeping what each
block reads (sequences x length x hidden numbers a block), then from the last block to the first, each run again with
its gradients, one sequence at a time. The sums are the same.

Kept on disk for each language by itself (``_blockfiles``), so that another mix of languages costs nothing, and rounded
to bfloat16 once: that moves F by at most one part in 256 and halves what is by far the largest file of a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import cross_entropy

from methods._blockfiles import complete_blocks, digest, write_block, write_index
from methods._blocks import family
from methods._lease import lease
from methods._moments import require_agreement, shares
from methods._shards import Shards
from methods._stored import dtype_name
from methods._walk import Block, head, load_block, walk
from methods.base import Calibration, Progress, Source, silent

VERSION = 1
"""Raised when the same inputs would give other sums."""
NAME = "fisher"
HEAD_TOKENS = 128
"""Tokens whose logits are in memory at once."""

Stored = Path | dict[str, Tensor]


class Fisher:
    """Squared gradients of one model on one calibration text; read from the cache when asked for."""

    def __init__(
        self, blocks: Mapping[str, list[Stored]], sequences: Mapping[str, int], weights: Mapping[str, float]
    ) -> None:
        self._blocks = blocks
        self._weights = weights
        self.sequences = sequences
        """Language -> sequences summed over."""

    def sums(self, block: int, linear: str) -> dict[str, Tensor]:
        """Language -> F_k, float32 ``(out, in)`` on the CPU; ``linear`` relative to the block."""
        return {language: self._read(language, block, linear).float() for language in self._blocks}

    def diagonal(self, block: int, linear: str, weights: Mapping[str, float] | None = None) -> Tensor:
        """``sum over k of a_k F_k / sequences_k``, float32 ``(out, in)``.

        The a_k are the calibration's (or the caller's) weights, so a language counts by its weight, however many
        sequences it has.
        """
        parts = shares(weights or self._weights)
        total = torch.zeros(())
        for language in sorted(parts):
            part = self._read(language, block, linear).float()
            total = total + part.mul_(parts[language] / self.sequences[language])
        return total

    def _read(self, language: str, block: int, linear: str) -> Tensor:
        stored = self._blocks[language][block]
        if isinstance(stored, dict):
            return stored[linear]
        with safe_open(str(stored), "pt") as file:
            return file.get_tensor(linear)


def fisher(
    source: Source, calibration: Calibration, progress: Progress = silent, sequences: int | None = None
) -> Fisher:
    """Squared gradients of all linears of all blocks, from the cache or from one pass forward and back per language.

    ``sequences``: only the first so many of each language are read. A float16 model is differentiated in float32,
    where small gradients do not vanish. Raises ValueError for gradients that are not finite, naming the layer.
    """
    require_agreement(calibration)
    if source.dtype == "float16":
        source = replace(source, dtype="float32")
    languages = sorted(shares(calibration.weights))
    blocks: dict[str, list[Stored]] = {}
    counts: dict[str, int] = {}
    for turn, language in enumerate(languages):
        chosen = [index for index, spoken in enumerate(calibration.languages) if spoken == language][:sequences]
        tokens = calibration.tokens[chosen]
        counts[language] = len(chosen)
        folder = calibration.cache / _key(source, tokens) if calibration.cache else None
        blocks[language] = list(complete_blocks(folder, NAME)) if folder else []
        if not blocks[language]:
            with lease(folder) if folder else nullcontext():
                blocks[language] = list(complete_blocks(folder, NAME)) if folder else []
                if not blocks[language]:
                    blocks[language] = _gather(source, tokens, folder, _share(progress, turn, len(languages)))
    return Fisher(blocks, counts, calibration.weights)


def _share(progress: Progress, turn: int, turns: int) -> Progress:
    """Progress of one language's pass as progress of all."""
    return lambda what, done, total: progress(what, turn * total + done, turns * total)


def _gather(source: Source, tokens: Tensor, folder: Path | None, progress: Progress) -> list[Stored]:
    """The sums of every block, in the order of the blocks."""
    stored: list[Stored] = []
    digests: list[str] = []
    for block, sums in backward(source, tokens, progress):
        rounded = {name: total.to(torch.bfloat16).cpu() for name, total in sums.items()}
        if folder:
            data = save(rounded)
            digests.append(digest(data))
            stored.append(write_block(folder, NAME, block.index, data))
        else:
            stored.append(rounded)
    if folder:
        write_index(folder, NAME, reversed(digests))
    return stored[::-1]


def backward(source: Source, tokens: Tensor, progress: Progress = silent) -> Iterator[tuple[Block, dict[str, Tensor]]]:
    """The blocks from the last to the first, with the sum over sequences of squared gradients of each linear.

    ``tokens`` int64 ``(n, length)``; sums float32 ``(out, in)`` by names relative to the block.
    """
    shards, names = Shards(source.folder), family(source.config).linears
    blocks = []
    for block in walk(source, tokens):
        block.observe()  # computes the outputs while the weights are there
        block.module.to("meta")
        blocks.append(block)
        progress("squared gradients", block.index + 1, 2 * block.count)
    logits = head(source)
    upstream = [
        _loss_gradient(logits, hidden, ids)
        for hidden, ids in zip(_single(blocks[-1].outputs), tokens.to(source.device), strict=True)
    ]
    del logits
    while blocks:
        block = blocks.pop()
        load_block(block.module, block.prefix, shards, source)
        yield block, _squared_gradients(block, names, upstream)
        progress("squared gradients", 2 * block.count - block.index, 2 * block.count)


def _loss_gradient(logits: Callable[[Tensor], Tensor], hidden: Tensor, ids: Tensor) -> Tensor:
    """Gradient of one sequence's mean loss: ``hidden (1, length, hidden)``, ``ids (length,)``; the last token's is 0.

    Token t's logits predict token t + 1. They are made for a few tokens at a time.
    """
    gradient = torch.zeros_like(hidden)
    for start in range(0, len(ids) - 1, HEAD_TOKENS):
        part = slice(start, min(start + HEAD_TOKENS, len(ids) - 1))
        x = hidden[0, part].detach().requires_grad_()
        with torch.enable_grad():
            loss = cross_entropy(logits(x), ids[part.start + 1 : part.stop + 1], reduction="sum") / (len(ids) - 1)
        (gradient[0, part],) = torch.autograd.grad(loss, x)
    return gradient


def _squared_gradients(block: Block, names: tuple[str, ...], upstream: list[Tensor]) -> dict[str, Tensor]:
    """Sums over sequences; ``upstream``, the loss's gradients at the outputs, becomes that at the inputs."""
    weights = [block.module.get_parameter(f"{name}.weight") for name in names]
    sums = [torch.zeros(weight.shape, device=weight.device) for weight in weights]
    for index, hidden in enumerate(_single(block.inputs or [])):
        x = hidden.detach().requires_grad_()
        with torch.enable_grad():
            output = block.module(x, **block.kwargs)
        output = output[0] if isinstance(output, tuple) else output
        upstream[index], *gradients = torch.autograd.grad(output, [x, *weights], upstream[index])
        for total, gradient in zip(sums, gradients, strict=True):
            gradient = gradient.float()
            total.addcmul_(gradient, gradient)
    for name, total in zip(names, sums, strict=True):
        if not bool(torch.isfinite(total).all()):
            raise ValueError(
                f"{block.prefix}.{name} has gradients that are not finite on the calibration text in "
                f"{dtype_name(weights[0].dtype)}; try dtype float32."
            )
    return dict(zip(names, sums, strict=True))


def _single(batches: list[Tensor]) -> Iterator[Tensor]:
    """Sequence after sequence: ``(1, length, hidden)``."""
    return (hidden for batch in batches for hidden in batch.split(1))


def _key(source: Source, tokens: Tensor) -> str:
    """Name of the folder for what is summed over these sequences; the language's name and weight are no part of it."""
    device = torch.device(source.device).type
    text = digest(tokens.cpu().contiguous().numpy().tobytes())
    return digest(json.dumps([VERSION, NAME, source.digest, source.dtype, device, list(tokens.shape), text]).encode())
