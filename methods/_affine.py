"""Group-wise affine quantization: a scale and a zero for each group of neighbouring input channels.

Legend: ``weight (out, in)``; a row is cut into ``groups = in / group`` groups of ``group`` channels; ``b`` bits.

    asymmetric   low = min(w, 0), high = max(w, 0)     scale = (high - low) / (2^b - 1)     zero = round(-low / scale)
    symmetric    scale = max|w| / (2^(b-1) - 1)        zero = 2^(b-1)
    code = clamp(round(w / scale) + zero, 0, 2^b - 1)      value = (code - zero) * scale

The grid is that of AWQ's two implementations with three deliberate differences: the range always holds 0 (else a
group of one sign loses its far end); a group of zeros gets scale 1 in place of a floor under every scale; and codes
are computed against the scale *as stored*, rounded to its stored type first, so no error hides in the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

HALF = torch.finfo(torch.float16)
PIECE = 2**18
"""Numbers that each thread of a CPU computes at once. What is larger than its cache waits for memory at every step."""


class Affine(NamedTuple):
    """A quantized weight."""

    codes: Tensor
    """uint8 ``(out, in)``"""
    scale: Tensor
    """float16 ``(out, groups)``; float32 in a layer that has a scale outside float16's normal range"""
    zero: Tensor
    """uint8 ``(out, groups)``"""


def parse_granularity(text: str) -> int | None:
    """``"group:128"`` -> 128; ``"row"`` -> None, one group per row."""
    kind, _, size = str(text).partition(":")
    if text == "row":
        return None
    if kind == "group" and size.isascii() and size.isdigit() and int(size) > 0:
        return int(size)
    raise ValueError(f"granularity={text!r}: allowed are 'row' and 'group:SIZE', such as 'group:128'.")


def misfit(columns: int, group: int | None) -> str | None:
    """Why rows of ``columns`` channels cannot be cut into groups of ``group``; None when they can."""
    if group is None or columns % group == 0:
        return None
    return f"groups of {group} do not divide its {columns} input channels"


def quantize(
    weight: Tensor,
    bits: int,
    group: int | None,
    symmetric: bool = False,
    low: Tensor | None = None,
    high: Tensor | None = None,
) -> Affine:
    """Quantize ``weight (out, in)``, any floating type, computing in float32; ``group=None`` takes whole rows.

    ``low``, ``high`` ``(out, groups)``: weights beyond them are cut off, which lets the grid be finer.
    """
    scale, zero = _grid(weight, bits, group, symmetric, low, high)
    codes = torch.empty(weight.shape, dtype=torch.uint8, device=weight.device)
    for rows in pieces(weight):
        codes[rows] = _codes(_grouped(weight[rows], group), scale[rows], zero[rows], bits).flatten(1)
    return Affine(codes, scale, zero.to(torch.uint8))


def dequantize(affine: Affine, group: int | None) -> Tensor:
    """float32 ``(out, in)``: ``(code - zero) * scale``."""
    codes, scale, zero = affine
    values = _grouped(codes, group)  # float32, a copy
    values.sub_(zero.float().unsqueeze(-1)).mul_(scale.float().unsqueeze(-1))
    return values.view(codes.shape)


def fake(
    weight: Tensor,
    bits: int,
    group: int | None,
    symmetric: bool = False,
    low: Tensor | None = None,
    high: Tensor | None = None,
) -> Tensor:
    """``dequantize(quantize(weight, ...), group)`` to the bit, without the detour over uint8."""
    values = torch.empty(weight.shape, device=weight.device)
    for rows, piece in fake_pieces(weight, bits, group, symmetric, low, high):
        values[rows] = piece
    return values


def fake_pieces(
    weight: Tensor,
    bits: int,
    group: int | None,
    symmetric: bool = False,
    low: Tensor | None = None,
    high: Tensor | None = None,
    columns: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """``fake`` by pieces: some rows, and what is left of them, a new tensor each.

    ``columns (in,)``: what each column is multiplied by before, and divided by after.
    """
    scale, zero = _grid(weight, bits, group, symmetric, low, high, columns)
    for rows in pieces(weight):
        values = _codes(_grouped(weight[rows], group, columns), scale[rows], zero[rows], bits)
        values = values.sub_(zero[rows].unsqueeze(-1)).mul_(scale[rows].float().unsqueeze(-1)).flatten(1)
        yield rows, values if columns is None else values.div_(columns)


def pieces(weight: Tensor) -> list[slice]:
    """Rows that are computed at once, in turn: all of them on an accelerator."""
    at_once = len(weight)
    if weight.device.type == "cpu":
        at_once = max(1, PIECE * torch.get_num_threads() // weight.shape[1])
    return [slice(first, first + at_once) for first in range(0, len(weight), at_once)]


def _grouped(weight: Tensor, group: int | None, columns: Tensor | None = None) -> Tensor:
    """``(out, in)`` -> float32 ``(out, groups, group)``; a float32 weight whose columns stay is not copied."""
    rows, width = weight.shape
    if reason := misfit(width, group):
        raise ValueError(f"A weight of shape ({rows}, {width}) cannot be quantized: {reason}.")
    weight = weight.float() if columns is None else weight.float() * columns
    return weight.reshape(rows, -1, group or width)


def _grid(
    weight: Tensor,
    bits: int,
    group: int | None,
    symmetric: bool,
    low: Tensor | None,
    high: Tensor | None,
    columns: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scale as stored, and zero as float32, each ``(out, groups)``."""
    grouped = (_grouped(weight[rows], group, columns) for rows in pieces(weight))
    ends = [(piece.amin(-1), piece.amax(-1)) for piece in grouped]  # aminmax(dim=-1) is three times slower
    smallest, largest = (torch.cat(end) for end in zip(*ends, strict=True))
    if low is not None:
        smallest = torch.maximum(smallest, low.float())
    if high is not None:
        largest = torch.minimum(largest, high.float())
    smallest, largest = smallest.clamp_(max=0), largest.clamp_(min=0)
    if symmetric:
        scale = torch.maximum(-smallest, largest) / (2 ** (bits - 1) - 1)
    else:
        levels = 2**bits - 1
        scale = largest / levels - smallest / levels  # this order cannot overflow
    scale = _stored(scale)
    if symmetric:
        return scale, torch.full_like(smallest, 2 ** (bits - 1))
    return scale, (-smallest / scale.float()).round_().clamp_(0, 2**bits - 1)


def _stored(scale: Tensor) -> Tensor:
    """The scale in the type it is stored in; 1 where there is nothing to scale."""
    scale = torch.where(scale == 0, 1.0, scale)
    smallest, largest = torch.aminmax(scale)
    fits = bool(smallest >= HALF.smallest_normal) and bool(largest <= HALF.max)
    return scale.half() if fits else scale


def _codes(grouped: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    """float32 ``(out, groups, group)``, whole numbers from 0 to ``2^b - 1``; a new tensor."""
    codes = grouped / scale.float().unsqueeze(-1)
    return codes.round_().add_(zero.unsqueeze(-1)).clamp_(0, 2**bits - 1)
