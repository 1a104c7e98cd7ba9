"""Dense packing: exact both ways at every width."""

from __future__ import annotations

import doctest

import pytest
import torch

from methods import _packing
from methods._packing import BITS, pack, packed_columns, unpack


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("columns", [1, 2, 3, 5, 7, 8, 9, 13, 31, 64, 65, 127])
def test_round_trip(bits: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(columns)
    codes = torch.randint(0, 2**bits, (5, columns), dtype=torch.uint8, generator=generator)
    packed = pack(codes, bits)
    assert packed.shape == (5, packed_columns(columns, bits))
    assert packed.shape[1] == -(-columns * bits // 8)
    assert torch.equal(unpack(packed, bits, columns), codes)


@pytest.mark.parametrize("bits", BITS)
def test_layout_is_a_little_endian_bit_stream(bits: int) -> None:
    codes = torch.randint(0, 2**bits, (1, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    stream = sum(code << (k * bits) for k, code in enumerate(codes[0].tolist()))
    assert bytes(pack(codes, bits)[0].tolist()) == stream.to_bytes(packed_columns(11, bits), "little")


def test_one_code_changes_only_its_bits() -> None:
    codes = torch.zeros(1, 8, dtype=torch.uint8)
    codes[0, 2] = 7  # bits 6, 7 and 8
    assert pack(codes, 3).tolist() == [[0b11000000, 0b00000001, 0]]


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits=5: allowed are 2, 3, 4, 8\."):
        pack(torch.zeros(1, 8, dtype=torch.uint8), 5)


def test_the_example_runs() -> None:
    assert doctest.testmod(_packing) == (0, 2)
