"""A linear on a uniform grid of which some rows or columns are kept beside it in 8 or 16 bits, overriding the grid.

Legend: ``weight (out, in)``; ``n`` kept *vectors*: rows (each ``in`` long) or columns (each ``out`` long)::

    index    int16 (n,)             ascending; int32 where there are more than 32,768 to choose from
    panel    (n, in) or (n, out)    float16, bfloat16 or int8
    panel_scale  float32 (n,)       int8 only: value = panel * panel_scale, scale = max|vector| / 127

The *image*, what is quantized, is that of the layer without kept vectors: kept columns take part in the range of
their groups, so whatever is kept, all else is the same to the bit. *Additive*: the image is stored whole. *Carved*:
codes of kept vectors are not stored (of rows, their scales and zeros neither; a group of columns keeps its scale).
Both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from methods._affine import Affine, dequantize
from methods._linear import AffineLinear
from methods._packing import pack, packed_columns, unpack
from methods._stored import dtype_name

Axis = Literal["rows", "columns"]
PANELS = ("float16", "bfloat16", "int8")


class KeptLinear(AffineLinear):
    """An ``AffineLinear`` with kept rows or columns; ``codes``, ``scale`` and ``zero`` lack them where carved."""

    KIND: ClassVar[str] = "kept"
    PARTS: ClassVar[Mapping[str, str]] = {**AffineLinear.PARTS, "index": "side", "panel": "side", "panel_scale": "side"}

    index: Tensor
    panel: Tensor
    panel_scale: Tensor | None

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
        axis: Axis,
        kept: int,
        panel: str,
        carved: bool,
    ) -> None:
        rows = out_features - kept if carved and axis == "rows" else out_features
        super().__init__(in_features, rows, bits, group, symmetric, False, scale)
        self.out_features = out_features
        self.axis, self.carved = axis, carved
        if carved and axis == "columns":
            self.codes = torch.empty(out_features, packed_columns(in_features - kept, bits), dtype=torch.uint8)
        self.bias = torch.empty(out_features) if bias else None
        length = in_features if axis == "rows" else out_features
        self.register_buffer("index", torch.empty(kept, dtype=index_type(in_features + out_features - length)))
        self.register_buffer("panel", torch.empty(kept, length, dtype=getattr(torch, panel)))
        self.register_buffer("panel_scale", torch.empty(kept) if panel == "int8" else None)

    @classmethod
    def keeping(
        cls, layer: AffineLinear, axis: Axis, index: Tensor, vectors: Tensor, panel: str, carve: bool
    ) -> KeptLinear:
        """``layer`` with its ``axis`` ``index (n,)``, ascending, replaced by ``vectors`` float32 ``(n, length)``.

        Raises ValueError for an index that the layer does not have, and for values that a 16-bit panel cannot hold.
        """
        choices = layer.out_features if axis == "rows" else layer.in_features
        if carve and len(index) == choices:
            raise ValueError(f"keeps all of its {choices:,} {axis}, so that carving leaves nothing: keep fewer.")
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < choices:
            raise ValueError(f"keeps {axis} up to number {int(index.max())}, but has {choices:,}, counted from 0.")
        spec = layer.spec() | {"axis": axis, "kept": len(index), "panel": panel, "carved": carve}
        with torch.device("meta"):
            kept = cls(**{name: value for name, value in spec.items() if name != "kind"})
        kept.codes, kept.scale, kept.zero, kept.bias = layer.codes, layer.scale, layer.zero, layer.bias
        kept.index = index.to(kept.index.dtype)
        kept.panel, kept.panel_scale = to_panel(vectors, panel)
        if carve:
            kept._carve(layer.affine())
        return kept

    def spec(self) -> dict[str, Any]:
        panel = dtype_name(self.panel.dtype)
        return super().spec() | {"axis": self.axis, "kept": len(self.index), "panel": panel, "carved": self.carved}

    def vectors(self) -> Tensor:
        """The kept values, float32 ``(n, length)``."""
        values = self.panel.float()
        return values if self.panel_scale is None else values * self.panel_scale[:, None]

    def affine(self) -> Affine:
        """The image, whole; where carved it is 0 at what is kept."""
        if not self.carved:
            return super().affine()
        left = self._left()
        if self.axis == "columns":
            _, scale, zero = super().affine()
            codes = zero.repeat_interleave(self.in_features // self.groups, 1)
            codes[:, left] = unpack(self.codes, self.bits, len(left))
            return Affine(codes, scale, zero)
        carved = super().affine()
        nothing = 2 ** (self.bits - 1)  # the zero of a symmetric grid, and as good as any on another
        codes = carved.codes.new_full((self.out_features, self.in_features), nothing)
        scale = carved.scale.new_ones(self.out_features, self.groups)
        zero = carved.zero.new_full(scale.shape, nothing)
        codes[left], scale[left], zero[left] = carved
        return Affine(codes, scale, zero)

    def dequantize(self) -> Tensor:
        weight = dequantize(self.affine(), self.group)
        if self.axis == "rows":
            weight[self.index.long()] = self.vectors()
        else:
            weight[:, self.index.long()] = self.vectors().T
        return weight

    def _left(self) -> Tensor:
        """What is not kept: int64, ascending."""
        mask = torch.ones(self.out_features if self.axis == "rows" else self.in_features, dtype=torch.bool)
        mask[self.index.long().cpu()] = False
        return mask.nonzero()[:, 0].to(self.codes.device)

    def _carve(self, image: Affine) -> None:
        left = self._left()
        if self.axis == "columns":
            self.codes = pack(image.codes[:, left], self.bits)
            return
        self.codes, self.scale = self.codes[left], self.scale[left]
        if self.zero is not None:
            self.zero = pack(image.zero[left].view(1, -1), self.bits).view(-1)


def index_type(choices: int) -> torch.dtype:
    """The type that holds numbers below ``choices``."""
    return torch.int16 if choices <= 2**15 else torch.int32


def to_panel(vectors: Tensor, panel: str) -> tuple[Tensor, Tensor | None]:
    """float32 ``(n, length)`` as it is stored, and the scales of an int8 panel."""
    if panel == "int8":
        largest = vectors.abs().amax(1)
        scale = torch.where(largest == 0, 1.0, largest / 127)
        return (vectors / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8), scale
    stored = vectors.to(getattr(torch, panel))
    if lost := int((~torch.isfinite(stored)).sum()):
        raise ValueError(f"keeps {lost:,} values beyond the range of {panel}: panel='bfloat16' holds them.")
    return stored, None


def kept_bytes(vectors: int, length: int, choices: int, panel: str) -> int:
    """Bytes of index and panel of ``vectors`` kept out of ``choices``, each ``length`` values long."""
    index, values = index_type(choices).itemsize, length * getattr(torch, panel).itemsize
    return vectors * (index + values + (4 if panel == "int8" else 0))
