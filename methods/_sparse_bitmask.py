"""The pruned linear layer: one bit per weight that says whether it is kept, and the kept values in 16 bits.

Stored as ``1 + 16 (1 - sparsity)`` bits per weight, 9 at 50%, whatever the pattern of zeros. Zeros that rounding to 16
bits makes are dropped too, so the sparsity is that of what is stored. Where neighbours go in pairs (``run=2``), one bit
serves two weights: 8.5 at 50%.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from methods._factored import half
from methods._stored import StoredLinear, dtype_name


def pack_bits(mask: Tensor) -> Tensor:
    """bool ``(rows, columns)`` -> uint8 ``(rows, ceil(columns / 8))``; bit 0 of byte 0 is column 0.

    >>> pack_bits(torch.tensor([[True, False, True, False, False, False, False, False, True]])).tolist()
    [[5, 1]]
    """
    bits = pad(mask.to(torch.uint8), (0, -mask.shape[1] % 8)).view(len(mask), -1, 8)
    return (bits << torch.arange(8, dtype=torch.uint8, device=mask.device)).sum(-1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, columns: int) -> Tensor:
    """The inverse of :func:`pack_bits`: bool ``(rows, columns)``."""
    bits = packed.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8, device=packed.device) & 1
    return bits.view(len(packed), -1)[:, :columns].bool()


def pack_mask(kept: Tensor, run: int) -> tuple[Tensor, Tensor]:
    """The mask of ``kept``, bool ``(out, in)``, with a bit for each run of neighbours, and the places it stores.

    The places are ``kept`` and, where only part of a run is kept, the others of that run.
    """
    runs = kept.view(len(kept), -1, run).any(-1)
    return pack_bits(runs), runs.repeat_interleave(run, 1)


def unpack_mask(mask: Tensor, columns: int, run: int) -> Tensor:
    """bool ``(out, columns)``: the places that are stored."""
    return unpack_bits(mask, columns // run).repeat_interleave(run, 1)


def mask_bytes(columns: int, run: int) -> int:
    """Bytes of a row's mask."""
    return (columns // run + 7) // 8


class MaskedLinear(StoredLinear):
    """A linear layer with few weights. Buffers: ``mask`` uint8 ``(out, ceil(in / run / 8))``, one bit per run of
    neighbours; ``values (kept,)``, row after row, in 16 bits; ``bias (out,)`` or absent.
    """

    KIND: ClassVar[str] = "masked"
    PARTS: ClassVar[Mapping[str, str]] = {"values": "codes", "mask": "side", "bias": "rest"}

    mask: Tensor
    values: Tensor
    bias: Tensor | None

    def __init__(self, in_features: int, out_features: int, kept: int, dtype: str, bias: bool, run: int = 1) -> None:
        super().__init__()
        self.in_features, self.out_features, self.run = in_features, out_features, run
        self.register_buffer("mask", torch.empty(out_features, mask_bytes(in_features, run), dtype=torch.uint8))
        self.register_buffer("values", torch.empty(kept, dtype=getattr(torch, dtype)))
        self.register_buffer("bias", torch.empty(out_features) if bias else None)

    @classmethod
    def from_weight(cls, weight: Tensor, bias: Tensor | None = None, run: int = 1) -> MaskedLinear:
        """The weights of ``weight (out, in)`` that are not zero; a 16-bit type is kept, others become float16."""
        weight = weight if weight.dtype in (torch.float16, torch.bfloat16) else half(weight)
        mask, places = pack_mask(weight != 0, run)
        with torch.device("meta"):
            dtype = dtype_name(weight.dtype)
            layer = cls(weight.shape[1], len(weight), int(places.sum()), dtype, bias is not None, run)
        layer.mask, layer.values = mask, weight[places]
        layer.bias = None if bias is None else bias.detach().clone()
        return layer

    def spec(self) -> dict[str, Any]:
        return super().spec() | {
            "kept": len(self.values),
            "dtype": dtype_name(self.values.dtype),
            "run": self.run,
        }

    @staticmethod
    def stored(spec: Mapping[str, Any]) -> int:
        """How many weights are kept."""
        return spec["kept"]

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        weight = torch.zeros(self.out_features, self.in_features, device=self.values.device)
        weight[unpack_mask(self.mask, self.in_features, self.run)] = self.values.float()
        return weight

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}, kept={len(self.values)}"
