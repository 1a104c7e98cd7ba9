"""The pruned and quantized linear layer: one bit per weight, packed codes of the kept ones, a scale per group.

Stored as ``1 + b (1 - sparsity)`` bits per weight and the scales of :mod:`methods._affine` (zeros too, unless the grid
is symmetric): 3 bits and ``16 / group`` at 4 bits and 50%. A weight that rounds to zero is not stored, so the sparsity
is that after rounding. Zero is a value of every grid here, so what is dropped is exactly zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods._affine import Affine
from methods._linear import AffineLinear
from methods._packing import pack, packed_columns, unpack
from methods._sparse_bitmask import mask_bytes, pack_mask, unpack_mask
from methods._stored import dtype_name


class MaskedAffineLinear(AffineLinear):
    """As ``AffineLinear``, but ``codes`` uint8 ``(packed kept,)`` holds those of kept weights, row after row, and
    ``mask`` uint8 ``(out, ceil(in / run / 8))`` says which these are: one bit per run of neighbours.
    """

    KIND: ClassVar[str] = "masked_affine"
    PARTS: ClassVar[Mapping[str, str]] = {**AffineLinear.PARTS, "mask": "side"}

    mask: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bits: int,
        group: int | None,
        symmetric: bool = False,
        bias: bool = False,
        scale: str = "float16",
        *,
        kept: int,
        run: int = 1,
    ) -> None:
        super().__init__(in_features, out_features, bits, group, symmetric, bias, scale)
        self.kept, self.run = kept, run
        self.codes = torch.empty(packed_columns(kept, bits), dtype=torch.uint8)
        self.register_buffer("mask", torch.empty(out_features, mask_bytes(in_features, run), dtype=torch.uint8))

    @classmethod
    def holding(
        cls, affine: Affine, bits: int, group: int | None, symmetric: bool, bias: Tensor | None, run: int = 1
    ) -> MaskedAffineLinear:
        """Pack what of ``affine`` is not zero."""
        codes, scale, zero = affine
        rows, columns = codes.shape
        mask, places = pack_mask(codes != zero.repeat_interleave(columns // zero.shape[1], 1), run)
        chosen = codes[places]
        with torch.device("meta"):
            dtype = dtype_name(scale.dtype)
            layer = cls(columns, rows, bits, group, symmetric, bias is not None, dtype, kept=len(chosen), run=run)
        layer.codes, layer.mask, layer.scale = pack(chosen[None], bits)[0], mask, scale
        layer.zero = None if symmetric else pack(zero.reshape(1, -1), bits)[0]
        layer.bias = None if bias is None else bias.detach().clone()
        return layer

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"kept": self.kept, "run": self.run}

    @staticmethod
    def stored(spec: Mapping[str, Any]) -> int:
        """How many weights are kept."""
        return spec["kept"]

    def affine(self) -> Affine:
        zero = self.zeros()
        codes = zero.repeat_interleave(self.in_features // self.groups, 1)
        places = unpack_mask(self.mask, self.in_features, self.run)
        codes[places] = unpack(self.codes[None], self.bits, self.kept)[0]
        return Affine(codes, self.scale, zero)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kept={self.kept}"
