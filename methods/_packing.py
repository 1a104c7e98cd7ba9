"""Codes of 2, 3, 4 or 8 bits packed densely into bytes: 3 bits take three bits.

A row is a little-endian stream of bits: code ``k`` fills bits ``k*bits .. (k+1)*bits - 1`` of its row, bit 0 being
the lowest of byte 0. Each row starts on a byte and its last byte is filled with zeros. For 3 bits, eight codes a..h
in three bytes, highest bit first::

    ccbbbaaa  feeedddc  hhhgggff
"""

from __future__ import annotations

from math import gcd

from torch import Tensor
from torch.nn.functional import pad

BITS = (2, 3, 4, 8)


def packed_columns(columns: int, bits: int) -> int:
    """Bytes that a row of ``columns`` codes takes."""
    return (columns * bits + 7) // 8


def pack(codes: Tensor, bits: int) -> Tensor:
    """uint8 ``(rows, columns)`` below ``2**bits`` -> uint8 ``(rows, packed_columns(columns, bits))``.

    >>> import torch
    >>> pack(torch.tensor([[1, 2, 3, 0, 3]], dtype=torch.uint8), 2).tolist()
    [[57, 3]]
    """
    rows, columns = codes.shape
    period, width = _period(bits)
    if rest := -columns % period:
        codes = pad(codes, (0, rest))
    codes = codes.reshape(rows, -1, period)
    packed = codes.new_zeros(rows, codes.shape[1], width)
    for position in range(period):
        byte, shift = divmod(position * bits, 8)
        packed[..., byte] |= codes[..., position] << shift
        if shift + bits > 8:  # the code reaches into the next byte
            packed[..., byte + 1] |= codes[..., position] >> (8 - shift)
    return packed.view(rows, -1)[:, : packed_columns(columns, bits)].contiguous()


def unpack(packed: Tensor, bits: int, columns: int) -> Tensor:
    """The inverse of :func:`pack`: uint8 ``(rows, columns)``."""
    rows = packed.shape[0]
    period, width = _period(bits)
    if rest := -packed.shape[1] % width:
        packed = pad(packed, (0, rest))
    packed = packed.reshape(rows, -1, width)
    codes = packed.new_empty(rows, packed.shape[1], period)
    for position in range(period):
        byte, shift = divmod(position * bits, 8)
        code = packed[..., byte] >> shift
        if shift + bits > 8:
            code |= packed[..., byte + 1] << (8 - shift)
        codes[..., position] = code.bitwise_and_((1 << bits) - 1)
    return codes.view(rows, -1)[:, :columns].contiguous()


def _period(bits: int) -> tuple[int, int]:
    """The smallest run of codes that ends on a byte: how many codes, how many bytes."""
    if bits not in BITS:
        raise ValueError(f"bits={bits}: allowed are {', '.join(map(str, BITS))}.")
    shared = gcd(bits, 8)
    return 8 // shared, bits // shared
