"""Token log-likelihoods and KL divergences from final hidden states, the vocabulary in pieces.

N tokens, H hidden, V vocabulary, P piece of it. A full matrix of logits (N, V) in float32 would be 1 GB for a thousand
tokens of Gemma; here a tile (N, P) lives in the processor's cache and is used up before the next is made. Logits are
computed in the head's dtype, as the model itself would, and everything after them in float32 (sums over tiles in
float64).

Exponentials are taken without subtracting the maximum first: that saves a pass over every tile, and float32 holds
exp(-69) to exp(88), which is where logits are. Tokens for which it does not hold are found by their sum and computed
once more with their maximum subtracted.

With logits p of the reference and q, Z = sum exp:  KL(p || q) = sum exp(p) (p - q) / Z_p - ln Z_p + ln Z_q.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

TILE_TOKENS = 1024
"""So many tokens share one reading of the head's weights."""
TILE_BYTES = 4 * 1024**2
"""Of all float32 tiles in use together on a CPU: what its cache holds."""
CUDA_TILE_BYTES = 256 * 1024**2
LOWEST, HIGHEST = 1e-30, 1e38
"""A sum of exponentials outside of these is made again with the maximum subtracted."""


class Head(NamedTuple):
    """What turns a final hidden state into logits: ``softcap * tanh(scale * (h @ weight.T + bias) / softcap)``."""

    weight: torch.Tensor
    """(V, H)"""
    bias: torch.Tensor | None = None
    """(V,)"""
    softcap: float | None = None
    scale: float | None = None


class Known(NamedTuple):
    """What of a reference's tokens need not be computed again; each (N,)."""

    nats: torch.Tensor
    entropy: torch.Tensor
    """Of its next-token distribution, in nats."""
    top: torch.Tensor
    """int64: its most likely token, the first of them at a tie."""


class Fidelity(NamedTuple):
    """Per token, each (N,): how the next-token distribution q differs from the reference's p."""

    nats: torch.Tensor
    reference_nats: torch.Tensor
    kl: torch.Tensor
    """KL(p || q) in nats. Not clamped: equal distributions give 0 within float error, which may be negative."""
    entropy: torch.Tensor
    """Of p, in nats."""
    agree: torch.Tensor
    """bool: the most likely token of p is one of q's most likely (logits in bfloat16 tie often)."""
    delta_p: torch.Tensor
    """q(true token) - p(true token)."""


def token_nats(hidden: torch.Tensor, targets: torch.Tensor, head: Head) -> torch.Tensor:
    """hidden (N, H), targets (N,) int64 -> nats (N,) float32: -ln of the probability of each target."""
    return torch.cat([_nats(h, t, head) for h, t in _chunks(hidden, targets)])


def token_facts(hidden: torch.Tensor, targets: torch.Tensor, head: Head) -> Known:
    """As token_nats, with the entropy and the most likely token: all that can be kept of a reference."""
    return Known(*map(torch.cat, zip(*(_facts(h, t, head) for h, t in _chunks(hidden, targets)), strict=True)))


def token_fidelity(
    hidden: torch.Tensor,
    reference_hidden: torch.Tensor,
    targets: torch.Tensor,
    head: Head,
    reference_head: Head | None = None,
    known: Known | None = None,
) -> Fidelity:
    """hidden, reference_hidden (N, H), targets (N,) -> Fidelity. ``reference_head`` is ``head`` if None.

    ``known`` are the token_facts of the reference; without them they are computed here.
    """
    reference_head = reference_head or head
    known = known or token_facts(reference_hidden, targets, reference_head)
    chunks = _chunks(hidden, reference_hidden, targets, *known)
    parts = [_fidelity(q, p, t, head, reference_head, Known(*rest)) for q, p, t, *rest in chunks]
    return Fidelity(*map(torch.cat, zip(*parts, strict=True)))


def _chunks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The tensors, cut alike into at most TILE_TOKENS tokens."""
    return zip(*(tensor.split(TILE_TOKENS) for tensor in tensors), strict=True)


class _Tiles:
    """Logits (n, P) of one chunk of tokens, piece by piece, always in the same memory."""

    def __init__(self, hidden: torch.Tensor, head: Head, shift: torch.Tensor | None = None, sharing: int = 1) -> None:
        """``sharing``: how many tiles are in use at once."""
        self.hidden, self.head, self.shift = hidden.to(head.weight.dtype), head, shift
        size = (CUDA_TILE_BYTES if hidden.is_cuda else TILE_BYTES) // (4 * len(hidden) * sharing)
        self.piece = max(1, min(len(head.weight), size // 64 * 64 or 64))
        self.tile = self.buffer()
        self.raw = None if head.weight.dtype == torch.float32 else self.buffer(head.weight.dtype)

    def buffer(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(len(self.hidden) * self.piece, dtype=dtype, device=self.hidden.device)

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """The (first, last) token id of each piece, last excluded."""
        vocabulary = len(self.head.weight)
        return [(first, min(first + self.piece, vocabulary)) for first in range(0, vocabulary, self.piece)]

    def shaped(self, buffer: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """The part of a buffer that this piece fills, contiguous: (n, last - first)."""
        return buffer[: len(self.hidden) * (last - first)].view(len(self.hidden), last - first)

    def logits(self, first: int, last: int) -> torch.Tensor:
        """float32 (n, last - first), valid until the next call."""
        head, tile = self.head, self.shaped(self.tile, first, last)
        if self.raw is None:
            torch.mm(self.hidden, head.weight[first:last].T, out=tile)
        else:
            tile.copy_(torch.mm(self.hidden, head.weight[first:last].T, out=self.shaped(self.raw, first, last)))
        if head.bias is not None:
            tile.add_(head.bias[first:last])
        if head.scale is not None:
            tile.mul_(head.scale)
        if head.softcap is not None:
            tile.div_(head.softcap).tanh_().mul_(head.softcap)
        if self.shift is not None:
            tile.sub_(self.shift[:, None])
        return tile


class _Picker:
    """Picks each token's logit of one chosen vocabulary entry, out of the tile that holds it."""

    def __init__(self, chosen: torch.Tensor, pieces: list[tuple[int, int]]) -> None:
        ordered, self.order = chosen.sort()
        self.chosen = chosen
        edges = torch.tensor([first for first, _ in pieces] + [pieces[-1][1]], device=chosen.device)
        self.bounds = torch.searchsorted(ordered, edges).tolist()
        if self.bounds[0] != 0 or self.bounds[-1] != len(chosen):
            raise ValueError(f"token ids reach from {ordered[0]} to {ordered[-1]}; the head has {pieces[-1][1]}")
        self.picked = torch.zeros(len(chosen), dtype=torch.float32, device=chosen.device)

    def pick(self, number: int, first: int, tile: torch.Tensor) -> None:
        """Look into piece ``number``, whose first id is ``first``."""
        begin, end = self.bounds[number], self.bounds[number + 1]
        if begin < end:
            rows = self.order[begin:end]
            self.picked[rows] = tile[rows, self.chosen[rows] - first]


def _sums(hidden: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(hidden), dtype=torch.float64, device=hidden.device)


def _outside(*totals: torch.Tensor) -> torch.Tensor:
    """Indices of tokens for which some sum of exponentials left the safe range, or is not a number."""
    inside = torch.ones_like(totals[0], dtype=torch.bool)
    for total in totals:
        inside &= (total > LOWEST) & (total < HIGHEST)
    return (~inside).nonzero()[:, 0]


def _maximum(hidden: torch.Tensor, head: Head) -> torch.Tensor:
    """(n,): each token's largest logit."""
    tiles = _Tiles(hidden, head)
    return torch.stack([tiles.logits(first, last).amax(1) for first, last in tiles.pieces]).amax(0)


def _nats(hidden: torch.Tensor, targets: torch.Tensor, head: Head, shift: torch.Tensor | None = None) -> torch.Tensor:
    tiles = _Tiles(hidden, head, shift)
    target = _Picker(targets, tiles.pieces)
    total = _sums(hidden)
    for number, (first, last) in enumerate(tiles.pieces):
        tile = tiles.logits(first, last)
        target.pick(number, first, tile)
        total += tile.exp_().sum(1)
    nats = (total.log() - target.picked).float()
    again = _outside(total)
    if shift is None and len(again):
        nats[again] = _nats(hidden[again], targets[again], head, _maximum(hidden[again], head))
    return nats


def _facts(hidden: torch.Tensor, targets: torch.Tensor, head: Head, shift: torch.Tensor | None = None) -> Known:
    tiles = _Tiles(hidden, head, shift, sharing=2)
    target = _Picker(targets, tiles.pieces)
    total, weighted = _sums(hidden), _sums(hidden)
    best = torch.full((len(hidden),), -torch.inf, device=hidden.device)
    top = torch.zeros_like(targets)
    exponentials = tiles.buffer()
    for number, (first, last) in enumerate(tiles.pieces):
        tile = tiles.logits(first, last)
        target.pick(number, first, tile)
        value = tile.amax(1)
        better = (value > best).nonzero()[:, 0]  # few: finding where a maximum is costs six times the maximum
        best[better] = value[better]
        top[better] = tile[better].argmax(1) + first
        exponential = torch.exp(tile, out=tiles.shaped(exponentials, first, last))
        total += exponential.sum(1)
        weighted += exponential.mul_(tile).sum(1)
    log_total = total.log()
    known = Known((log_total - target.picked).float(), (log_total - weighted / total).float(), top)
    again = _outside(total)
    if shift is None and len(again):
        for kept, mended in zip(
            known, _facts(hidden[again], targets[again], head, _maximum(hidden[again], head)), strict=True
        ):
            kept[again] = mended
    return known


def _fidelity(
    hidden: torch.Tensor,
    reference: torch.Tensor,
    targets: torch.Tensor,
    head: Head,
    reference_head: Head,
    known: Known,
    shifts: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
) -> Fidelity:
    q_tiles = _Tiles(hidden, head, shifts[0], sharing=4)  # q, p, their difference, and what is not yet float32
    p_tiles = _Tiles(reference, reference_head, shifts[1], sharing=4)
    target, top = _Picker(targets, q_tiles.pieces), _Picker(known.top, q_tiles.pieces)
    q_total, p_total, weighted = _sums(hidden), _sums(hidden), _sums(hidden)
    best = torch.full((len(hidden),), -torch.inf, device=hidden.device)
    difference = q_tiles.buffer()
    for number, (first, last) in enumerate(q_tiles.pieces):
        q, p = q_tiles.logits(first, last), p_tiles.logits(first, last)
        target.pick(number, first, q)
        top.pick(number, first, q)
        best = torch.maximum(best, q.amax(1))
        between = torch.sub(p, q, out=q_tiles.shaped(difference, first, last))
        p_total += p.exp_().sum(1)
        weighted += between.mul_(p).sum(1)
        q_total += q.exp_().sum(1)
    nats = (q_total.log() - target.picked).float()
    kl = (weighted / p_total - p_total.log() + q_total.log()).float()
    delta_p = (-nats).exp() - (-known.nats).exp()
    found = Fidelity(nats, known.nats, kl, known.entropy, top.picked >= best, delta_p)
    again = _outside(q_total, p_total)
    if shifts == (None, None) and len(again):
        mended = _fidelity(
            hidden[again],
            reference[again],
            targets[again],
            head,
            reference_head,
            Known(*(values[again] for values in known)),
            (_maximum(hidden[again], head), _maximum(reference[again], reference_head)),
        )
        found = Fidelity(*(old.index_copy(0, again, new) for old, new in zip(found, mended, strict=True)))
    return found
