"""The linear layer on a uniform grid: packed codes with a scale and a zero per group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods._affine import Affine, dequantize, quantize
from methods._packing import pack, packed_columns, unpack
from methods._stored import StoredLinear, dtype_name


class AffineLinear(StoredLinear):
    """A linear layer stored as packed codes with a scale and a zero per group (see ``_affine``).

    Buffers: ``codes`` uint8 ``(out, packed in)``; ``scale`` ``(out, groups)``; ``zero`` uint8, all ``out * groups``
    zeros packed as one row, absent when symmetric; ``bias`` ``(out,)`` or absent.
    """

    KIND: ClassVar[str] = "affine"
    PARTS: ClassVar[Mapping[str, str]] = {"codes": "codes", "scale": "scales", "zero": "scales", "bias": "rest"}
    """Buffer -> the part of the footprint it is weighed in. A bias is no product of compression."""

    codes: Tensor
    scale: Tensor
    zero: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bits: int,
        group: int | None,
        symmetric: bool = False,
        bias: bool = False,
        scale: str = "float16",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits, self.group, self.symmetric = bits, group, symmetric
        groups = 1 if group is None else in_features // group
        self.groups = groups
        packed = packed_columns(out_features * groups, bits)
        self.register_buffer("codes", torch.empty(out_features, packed_columns(in_features, bits), dtype=torch.uint8))
        self.register_buffer("scale", torch.empty(out_features, groups, dtype=getattr(torch, scale)))
        self.register_buffer("zero", None if symmetric else torch.empty(packed, dtype=torch.uint8))
        self.register_buffer("bias", torch.empty(out_features) if bias else None)

    @classmethod
    def from_weight(
        cls,
        weight: Tensor,
        bits: int,
        group: int | None,
        symmetric: bool = False,
        bias: Tensor | None = None,
        low: Tensor | None = None,
        high: Tensor | None = None,
    ) -> AffineLinear:
        """Quantize ``weight (out, in)``, finite, any floating type. ``low``, ``high``: see ``_affine.quantize``."""
        affine = quantize(weight.detach(), bits, group, symmetric, low, high)
        return cls.from_affine(affine, bits, group, symmetric, bias)

    @classmethod
    def from_affine(
        cls, affine: Affine, bits: int, group: int | None, symmetric: bool = False, bias: Tensor | None = None
    ) -> AffineLinear:
        """Pack what is already quantized."""
        rows, columns = affine.codes.shape
        with torch.device("meta"):
            scale = dtype_name(affine.scale.dtype)
            layer = cls(columns, rows, bits, group, symmetric, bias is not None, scale)
        layer.codes = pack(affine.codes, bits)
        layer.scale = affine.scale
        layer.zero = None if symmetric else pack(affine.zero.reshape(1, -1), bits).view(-1)
        layer.bias = None if bias is None else bias.detach().clone()
        return layer

    def spec(self) -> dict[str, Any]:
        return super().spec() | {
            "bits": self.bits,
            "group": self.group,
            "symmetric": self.symmetric,
            "scale": dtype_name(self.scale.dtype),
        }

    def affine(self) -> Affine:
        """Codes, scales and zeros, unpacked."""
        return Affine(unpack(self.codes, self.bits, self.in_features), self.scale, self.zeros())

    def zeros(self) -> Tensor:
        """uint8 ``(out, groups)``: the zeros, unpacked."""
        if self.zero is None:
            return torch.full_like(self.scale, 2 ** (self.bits - 1), dtype=torch.uint8)
        return unpack(self.zero.view(1, -1), self.bits, self.scale.numel()).view(self.scale.shape)

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        return dequantize(self.affine(), self.group)

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}, bits={self.bits}, group={self.group or 'row'}"
