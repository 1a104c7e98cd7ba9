"""The linear layer whose groups' scales and zeros are quantized too, with a few weights kept aside (SpQR).

Legend: ``weight (out, in)``; a row is cut into ``groups = in / group``; a *statistic* is the scale or the zero of
every group, ``(out, groups)``; ``tile`` neighbouring rows of a statistic share a second-level grid.

    statistic = low + code * step                      low, step of a tile: the least, and (largest - least) / (2^s - 1)
    value     = (code - zero) * scale (+ what is kept aside)
    bits per weight = b + 2 s / group + 4 * 16 / (group * tile)      4.625 for b = 4, s = 3, groups and tiles of 16
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from methods._indexed import by_group, index_type
from methods._packing import pack, packed_columns, unpack
from methods._sparse import Sparse, add_sparse, column_type
from methods._stored import StoredLinear, dtype_name

HALF = torch.finfo(torch.float16)


class Statistic(NamedTuple):
    """A quantized scale or zero of every group."""

    codes: Tensor
    """uint8 ``(out, groups)``"""
    low: Tensor
    """float16 ``(out / tile, groups)``; float32 where float16 would lose it."""
    step: Tensor


def quantize_statistic(values: Tensor, bits: int, tile: int) -> Statistic:
    """``values`` float32 ``(out, groups)``, none below 0, against the second level as stored; positive ones stay so."""
    tiles = values.reshape(-1, tile, values.shape[1])
    low, high = tiles.amin(1), tiles.amax(1)
    step = (high - low) / (2**bits - 1)
    near = (low.half().float() - low).abs() <= torch.maximum(step / 4, low.abs() * 2**-10)
    if bool((near & ((low.half() > 0) == (low > 0))).all()) and bool(high.max() <= HALF.max):
        low, step = low.half(), step.half()
    step = torch.where(step == 0, 1, step)  # all of a tile are equal, or as good as equal
    codes = (tiles - low.float().unsqueeze(1)).div_(step.float().unsqueeze(1)).round_().clamp_(0, 2**bits - 1)
    return Statistic(codes.to(torch.uint8).view(values.shape), low, step)


def dequantize_statistic(statistic: Statistic) -> Tensor:
    """float32 ``(out, groups)``."""
    codes, low, step = statistic
    tiles = codes.float().view(len(low), -1, codes.shape[1])
    return tiles.mul_(step.float().unsqueeze(1)).add_(low.float().unsqueeze(1)).view(codes.shape)


class Bilevel(NamedTuple):
    """A quantized weight."""

    codes: Tensor
    """uint8 ``(out, in)``, by channel."""
    scale: Statistic
    zero: Statistic
    group_of: Tensor | None = None
    """``(in,)``: the group of each channel; None: groups are neighbours."""
    aside: Sparse | None = None
    """What is added to single weights."""


class BilevelLinear(StoredLinear):
    """A linear layer stored as ``Bilevel``.

    Buffers: ``codes`` uint8 ``(out, packed in)``, group after group; ``scale``, ``zero`` uint8, all ``out * groups``
    codes packed as one row; ``second`` ``(4, out / tile, groups)``: low and step of scales, then of zeros;
    ``group_of (in,)``; ``values``, ``columns``, ``counts`` (see ``_sparse``); ``bias``: all these only if there is one.
    """

    KIND: ClassVar[str] = "bilevel"
    PARTS: ClassVar[Mapping[str, str]] = {
        "codes": "codes",
        "scale": "scales",
        "zero": "scales",
        "second": "scales",
        "group_of": "side",
        "values": "side",
        "columns": "side",
        "counts": "side",
        "bias": "rest",
    }

    codes: Tensor
    scale: Tensor
    zero: Tensor
    second: Tensor
    group_of: Tensor | None
    values: Tensor | None
    columns: Tensor
    counts: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bits: int,
        group: int,
        statistic_bits: int,
        tile: int,
        indexed: bool = False,
        aside: int = 0,
        bias: bool = False,
        second: str = "float16",
        values: str = "float16",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits, self.group, self.statistic_bits, self.tile = bits, group, statistic_bits, tile
        self.groups = groups = in_features // group
        packed = packed_columns(out_features * groups, statistic_bits)
        self.register_buffer("codes", torch.empty(out_features, packed_columns(in_features, bits), dtype=torch.uint8))
        self.register_buffer("scale", torch.empty(packed, dtype=torch.uint8))
        self.register_buffer("zero", torch.empty(packed, dtype=torch.uint8))
        self.register_buffer("second", torch.empty(4, out_features // tile, groups, dtype=getattr(torch, second)))
        self.register_buffer("group_of", torch.empty(in_features, dtype=index_type(groups)) if indexed else None)
        self.register_buffer("values", torch.empty(aside, dtype=getattr(torch, values)) if aside else None)
        self.register_buffer("columns", torch.empty(aside, dtype=column_type(in_features)) if aside else None)
        self.register_buffer("counts", torch.empty(out_features, dtype=torch.int32) if aside else None)
        self.register_buffer("bias", torch.empty(out_features) if bias else None)

    @classmethod
    def from_bilevel(cls, weight: Bilevel, bits: int, statistic_bits: int, bias: Tensor | None = None) -> BilevelLinear:
        """Pack what is already quantized."""
        codes, scale, zero, group_of, aside = weight
        (rows, columns), groups = codes.shape, scale.codes.shape[1]
        second = torch.stack([*scale[1:], *zero[1:]])  # float32 if one of them is
        aside = aside if aside and aside.values.numel() else None
        with torch.device("meta"):
            layer = cls(
                in_features=columns,
                out_features=rows,
                bits=bits,
                group=columns // groups,
                statistic_bits=statistic_bits,
                tile=rows // second.shape[1],
                indexed=group_of is not None,
                aside=len(aside.values) if aside else 0,
                bias=bias is not None,
                second=dtype_name(second.dtype),
                values=dtype_name(aside.values.dtype) if aside else "float16",
            )
        layer.codes = pack(codes if group_of is None else codes[:, by_group(group_of)], bits)
        layer.scale = pack(scale.codes.reshape(1, -1), statistic_bits).view(-1)
        layer.zero = pack(zero.codes.reshape(1, -1), statistic_bits).view(-1)
        layer.second = second
        layer.group_of = None if group_of is None else group_of.to(index_type(groups))
        if aside:
            layer.values, layer.columns, layer.counts = aside
        layer.bias = None if bias is None else bias.detach().clone()
        return layer

    def spec(self) -> dict[str, Any]:
        return super().spec() | {
            "bits": self.bits,
            "group": self.group,
            "statistic_bits": self.statistic_bits,
            "tile": self.tile,
            "indexed": self.group_of is not None,
            "aside": 0 if self.values is None else len(self.values),
            "second": dtype_name(self.second.dtype),
            "values": "float16" if self.values is None else dtype_name(self.values.dtype),
        }

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        scale, zero = self._statistic(self.scale, 0), self._statistic(self.zero, 2)
        codes = unpack(self.codes, self.bits, self.in_features).float()
        values = codes.view(self.out_features, self.groups, self.group)
        values = values.sub_(zero.unsqueeze(-1)).mul_(scale.unsqueeze(-1)).view(codes.shape)
        if self.group_of is not None:
            values = torch.empty_like(values).index_copy_(1, by_group(self.group_of), values)
        if self.values is not None:
            add_sparse(values, Sparse(self.values, self.columns, self.counts))
        return values

    def _statistic(self, packed: Tensor, at: int) -> Tensor:
        shape = self.out_features, self.groups
        codes = unpack(packed.view(1, -1), self.statistic_bits, shape[0] * shape[1]).view(shape)
        return dequantize_statistic(Statistic(codes, self.second[at], self.second[at + 1]))
