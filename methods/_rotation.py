"""Orthogonal rotations of a linear's input: W x = (W R)(R' x), whatever the architecture, with nothing folded.

A rotation spreads a few large channels over all, so that a grid or a mask has nothing to trip over (QuaRot,
arXiv 2404.00456). R = diag(s) H / sqrt(n), s random signs, H a Hadamard matrix (entries +-1, H H' = n I). Orders are
generated, not tabulated: Sylvester's doubling gives powers of two, Paley's two constructions give q + 1 for primes
q = 3 mod 4 and 2 (q + 1) for primes q = 1 mod 4, and Kronecker products of Hadamard matrices are Hadamard matrices.
H is never formed for a large n: x is seen as an array with one axis for each factor, and each axis is transformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

LARGEST_BLOCK = 1024
"""Channels rotated together where the whole input has no construction."""
LARGEST_PALEY = 256
"""A larger factor would cost as much to apply as the linear itself."""
LARGEST_SYLVESTER = 64
"""A larger power of two is taken apart: two small products are cheaper than one large."""


@dataclass(frozen=True)
class Rotation:
    """R of a linear with ``features`` inputs: ``x R`` mixes runs of ``block`` neighbouring channels."""

    features: int
    block: int
    """``features`` where all of them are mixed."""
    seed: int

    @property
    def fallback(self) -> str | None:
        """Why not all channels are mixed, for the record."""
        if self.block == self.features:
            return None
        return (
            f"no Hadamard matrix of order {self.features} is generated here; "
            f"blocks of {self.block} channels are rotated instead"
        )

    def signs(self) -> Tensor:
        """``(features,)``, +-1 in float64; the same for a seed on every machine."""
        return _signs(self.features, self.seed)

    def apply(self, x: Tensor) -> Tensor:
        """``x R`` for ``x (..., features)``, in ``x``'s dtype; ``W R`` for a weight ``(out, features)``."""
        return _transform(x * self.signs().to(x), self.block)

    def undo(self, y: Tensor) -> Tensor:
        """``y R'``: what was rotated to ``y``."""
        return _transform(y, self.block, transposed=True) * self.signs().to(y)

    def turn(self, moment: Tensor) -> Tensor:
        """``R' C R`` for ``C (features, features)``, symmetric, the mean of x x': that of the rotated inputs."""
        return self.apply(self.apply(moment.double()).T).to(moment.dtype)


def rotation(features: int, seed: int = 0) -> Rotation:
    """A rotation of all channels where their number has a construction, else of blocks of a power of two."""
    block = features if factors(features) else min(features & -features, LARGEST_BLOCK)
    return Rotation(features, block, seed)


@lru_cache
def _signs(features: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (features,), generator=generator, dtype=torch.int64).double() * 2 - 1


@lru_cache
def factors(order: int) -> tuple[int, ...] | None:
    """Orders of Paley and Sylvester matrices whose product is ``order``, cheapest to apply; None: no way found.

    >>> factors(3584), factors(5376), factors(11008)
    ((32, 28, 4), (12, 28, 16), None)
    """
    if order & (order - 1) == 0:
        return (order,) if order <= LARGEST_SYLVESTER else (LARGEST_SYLVESTER, *_known(order // LARGEST_SYLVESTER))
    paley = [n for n in range(12, LARGEST_PALEY + 1, 4) if order % n == 0 and _prime_of(n)]
    ways = [(first, *rest) for first in paley if (rest := factors(order // first))]
    best = min(ways, key=lambda way: (sum(way), way), default=None)
    return best if best is None else tuple(n for n in best if n > 1)


def _known(block: int) -> tuple[int, ...]:
    found = factors(block)
    assert found is not None  # `rotation` has looked, and every power of two has a way
    return found


def _prime_of(order: int) -> int | None:
    """The prime q that Paley's first or second construction builds this order from."""
    for q, residue in ((order - 1, 3), (order // 2 - 1, 1)):
        if q % 4 == residue and q > 2 and all(q % d for d in range(2, int(q**0.5) + 1)):
            return q
    return None


@lru_cache
def hadamard(order: int) -> Tensor:
    """One factor, float64 ``(order, order)``: a power of two or an order of Paley's. Raises ValueError for others."""
    if order & (order - 1) == 0:
        matrix = torch.ones(1, 1, dtype=torch.float64)
        while len(matrix) < order:
            matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), matrix)
        return matrix
    q = _prime_of(order) if order % 4 == 0 else None
    if q is None:
        raise ValueError(f"{order} is neither a power of two nor an order of Paley's constructions.")
    squares = {i * i % q for i in range(1, q)}
    character = torch.tensor([0.0, *(1.0 if i in squares else -1.0 for i in range(1, q))], dtype=torch.float64)
    place = torch.arange(q)
    conference = torch.zeros(q + 1, q + 1, dtype=torch.float64)
    conference[1:, 1:] = character[(place[:, None] - place) % q]
    conference[0, 1:] = 1
    if q % 4 == 3:  # skew: C' = -C
        conference[1:, 0] = -1
        return conference + torch.eye(q + 1, dtype=torch.float64)
    conference[1:, 0] = 1  # symmetric
    spread = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    fill = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    return torch.kron(conference, spread) + torch.kron(torch.eye(q + 1, dtype=torch.float64), fill)


def _transform(x: Tensor, block: int, transposed: bool = False) -> Tensor:
    """Every run of ``block`` channels times H / sqrt(block), or its transpose."""
    sizes = _known(block)
    y = x.reshape(-1, *sizes)
    for axis, size in enumerate(sizes, start=1):
        matrix = hadamard(size).to(y) / size**0.5
        y = torch.tensordot(y, matrix.T if transposed else matrix, dims=([axis], [0])).movedim(-1, axis)
    return y.reshape(x.shape)
