"""The runtime modules that a manifest may name: kind in a layer's spec -> class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from methods._bilevel import BilevelLinear
from methods._factored import FactoredLinear
from methods._indexed import IndexedLinear
from methods._kept import KeptLinear
from methods._linear import AffineLinear
from methods._lut import LutLinear
from methods._rotated import RotatedLinear
from methods._sparse_affine import MaskedAffineLinear
from methods._sparse_bitmask import MaskedLinear


class Kind(Protocol):
    """What a compressed layer offers. An ``nn.Module`` whose buffers are what is stored."""

    KIND: ClassVar[str]
    PARTS: ClassVar[Mapping[str, str]]
    """Buffer -> the part of the footprint it is weighed in: ``codes``, ``scales``, ``side`` or ``rest``."""
    ACTIVATION_TYPED: ClassVar[frozenset[str]]
    """Buffers that follow the model's dtype; all others keep the type they are stored in."""
    in_features: int
    out_features: int

    def spec(self) -> dict[str, Any]:
        """All that is needed to build an empty layer of this shape: JSON, with ``in_features`` and ``out_features``."""
        ...

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self: ...

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        ...

    def materialize(self, dtype: torch.dtype) -> nn.Module:
        """A layer with the same numbers that runs at full speed, in ``dtype``."""
        ...


KINDS: dict[str, Any] = {
    layer.KIND: layer
    for layer in (
        AffineLinear,
        KeptLinear,
        IndexedLinear,
        BilevelLinear,
        FactoredLinear,
        LutLinear,
        MaskedLinear,
        MaskedAffineLinear,
        RotatedLinear,
    )
}
